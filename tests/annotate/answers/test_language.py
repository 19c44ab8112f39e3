"""The language of a text is told by its letters and its commonest words."""

# Cases are one a line.
# ruff: noqa: E501

import pytest

from llava_video.annotate.answers.language import LANGUAGES, other_language

TEXTS = {
    "en": "A man in a red jacket walks to the left and opens the door, while a dog waits beside him.",
    "de": "Ein Mann in einer roten Jacke geht nach links und öffnet die Tür, während ein Hund wartet.",
    "fr": "Un homme en veste rouge marche vers la gauche et ouvre la porte, puis un chien le suit.",
    "es": "Un hombre con una chaqueta roja camina hacia la izquierda y abre la puerta junto a su perro.",
    "pt": "Um homem de jaqueta vermelha caminha para a esquerda e abre a porta enquanto um cão espera.",
    "it": "Un uomo con una giacca rossa cammina verso sinistra e apre la porta mentre il cane aspetta.",
    "nl": "Een man met een rode jas loopt naar links en opent de deur, terwijl een hond op hem wacht.",
    "sv": "En man i röd jacka går till vänster och öppnar dörren, medan en hund står och väntar på honom.",
    "pl": "Mężczyzna w czerwonej kurtce idzie w lewo i otwiera drzwi, a pies stoi obok i patrzy na niego.",
    "tr": "Kırmızı ceketli bir adam sola doğru yürür ve kapıyı açar, yanında bir köpek var ve bekler.",
    "id": "Seorang pria dengan jaket merah berjalan ke kiri dan membuka pintu, sedang anjing itu menunggu.",
    "vi": "Một người đàn ông mặc áo khoác đỏ đang đi sang trái và mở cửa, có một con chó ở trên sân.",
    "zh": "一个穿红色夹克的男人向左走，打开门，一只狗在旁边等着。",
    "ja": "赤いジャケットの男性が左へ歩いてドアを開け、犬がそばで待っている。",
    "ko": "빨간 재킷을 입은 남자가 왼쪽으로 걸어가 문을 열고 개가 옆에서 기다린다.",
    "ru": "Мужчина в красной куртке идёт налево и открывает дверь, а собака ждёт рядом.",
    "ar": "رجل يرتدي سترة حمراء يمشي إلى اليسار ويفتح الباب بينما ينتظر كلب.",
    "hi": "लाल जैकेट पहने एक आदमी बाईं ओर चलता है और दरवाज़ा खोलता है।",
    "th": "ชายสวมเสื้อแจ็คเก็ตสีแดงเดินไปทางซ้ายและเปิดประตู",
}  # fmt: skip


@pytest.mark.parametrize("written", TEXTS)
@pytest.mark.parametrize("wanted", ["en", "de", "zh", "ru", "es"])
def test_a_text_is_in_the_language_wanted_or_another(written, wanted):
    assert written in LANGUAGES
    assert (other_language(TEXTS[written], wanted) is None) == (written == wanted)


@pytest.mark.parametrize(
    "text",
    [
        "A banner reads “欢迎光临我们的商店”, and a woman walks past it to the door.",
        'The sign says "Bitte nicht auf den Rasen und die Beete treten" in white letters.',
        "A chef named José Ramírez makes crème brûlée in the café.",
        "Players: Müller, Großkreutz, Özil.",
        "A red ball.",
        "Beyoncé dances.",
        "12:30",
    ],
)
def test_names_quotations_and_short_texts_are_no_other_language(text):
    assert other_language(text, "en") is None
