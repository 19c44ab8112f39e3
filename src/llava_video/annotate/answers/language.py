"""The language of a text, by its script and its commonest words."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

# The commonest words of a language that few others share.
_WORDS = {
    "en": (
        "the a an and of to in is are was with on at by for from that this it as his her their "
        "its he she they there while then who which into over one two near has have be or not "
        "no up down"
    ),
    "de": (
        "der die das und ist ein eine einen einem einer nicht mit auf sich den dem des im zu "
        "von sie er es wird werden auch als dann neben über aus vor nach sind wie am zum zur "
        "durch seine ihre"
    ),
    "fr": (
        "le la les des une un et est dans sur avec qui que du au aux il elle ils pas pour par "
        "son sa ses ce cette sont vers puis tandis en se leur comme près deux"
    ),
    "es": (
        "el los las una un y es en con que del al por para su sus se lo está están mientras "
        "luego hacia como sobre más hay este esta junto desde dos muy"
    ),
    "pt": (
        "o os as uma um e é em com que do da dos das ao no na nos nas por para seu sua se está "
        "estão enquanto depois como mais não ele ela sobre dois"
    ),
    "it": (
        "il lo gli una un e è in con che del della dei delle al alla nel nella per su si sono "
        "mentre poi come più non di da uomo questo questa sta accanto verso due"
    ),
    "nl": (
        "de het een en is van in op met die dat naar zijn haar aan door voor niet er ze hij "
        "terwijl dan bij over uit naast wordt worden twee"
    ),
    "sv": (
        "och är en ett på med som det den av för till han hon de inte från sig medan sedan över "
        "ut vid sin två står"
    ),
    "da": (
        "og er en et på med som det den af for til han hun de ikke fra sig mens så over ud ved "
        "der står"
    ),
    "no": (
        "og er en et på med som det den av for til han hun de ikke fra seg mens så over ut ved "
        "der står"
    ),
    "fi": "ja on ei se hän että kun mutta sitten myös jossa joka kaksi mies nainen ovat sen hänen",
    "pl": (
        "i jest w na z się nie to do że po za od przez który która oraz jego jej są obok dwa stoi"
    ),
    "cs": "a je v na se z do s že po za od který která jeho její jsou vedle dva stojí pak není",
    "hu": "a az és egy van nem hogy ez ezt majd mellett két áll aki ami is meg volt fel le",
    "ro": "și este un o în cu pe de la care din nu se sunt lângă apoi doi stă iar lui sau",
    "tr": "bir ve bu ile için da de olarak sonra var çok daha gibi iki yanında üzerinde doğru",
    "id": (
        "dan yang di dengan sebuah seorang ini itu dari ke pada untuk adalah sedang tidak di dua"
    ),
    "vi": "và là một có của trong với đang trên người được cho không này đó các những ở hai",
}
_SETS = {name: frozenset(text.split()) for name, text in _WORDS.items()}
_SCRIPTS = {
    "zh": ("CJK",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "ko": ("HANGUL",),
    "ru": ("CYRILLIC",),
    "uk": ("CYRILLIC",),
    "bg": ("CYRILLIC",),
    "ar": ("ARABIC",),
    "fa": ("ARABIC",),
    "he": ("HEBREW",),
    "el": ("GREEK",),
    "hi": ("DEVANAGARI",),
    "bn": ("BENGALI",),
    "ta": ("TAMIL",),
    "th": ("THAI",),
}
LANGUAGES = tuple(sorted({*_WORDS, *_SCRIPTS}))
"""Languages that texts can be asked in and told apart from others."""

_MOST_FOREIGN = 0.3  # of a text's letters: what a caption may quote in another script
_FEWEST_WORDS = 5
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_QUOTED = re.compile(
    r"\"[^\"]*\"|“[^”]*”|«[^»]*»|「[^」]*」|『[^』]*』|(?<!\w)['‘][^'‘’]*['’](?!\w)"
)


def other_language(text: str, wanted: str) -> str | None:
    """What a text is written in where that is not the language wanted, else None.

    Quotations are left out: a caption quotes what can be read in the picture. Short texts, and
    those without a common word of any language, count as written in the language wanted.
    """
    text = _QUOTED.sub(" ", text)
    scripts = Counter(_script(letter) for letter in text if letter.isalpha())
    total = sum(scripts.values())
    if not total:
        return None
    own = _SCRIPTS.get(wanted, ("LATIN",))
    foreign = {script: n for script, n in scripts.items() if script not in own}
    if sum(foreign.values()) > _MOST_FOREIGN * total:
        return max(foreign, key=lambda script: foreign[script]).capitalize()
    if wanted not in _SETS:
        return None
    words = [word.lower() for word in _WORD.findall(text)]
    if len(words) < _FEWEST_WORDS:
        return None
    scores = {name: sum(word in known for word in words) for name, known in _SETS.items()}
    best = max(scores, key=lambda name: scores[name])
    is_clear = scores[best] >= max(3, 0.15 * len(words)) and scores[best] > 1.5 * scores[wanted]
    return best if best != wanted and is_clear else None


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN")
    return "CJK" if name.startswith(("CJK", "IDEOGRAPHIC")) else name.split()[0]
