"""Refusals: texts in which a model speaks of itself, or of what it was not given."""

# Patterns are one a line.
# ruff: noqa: E501

from __future__ import annotations

import re

_NOT = r"(?:can(?:no|['’])t|can not|could(?: not|n['’]t)|(?:am|are|was|were) (?:\w+ )?(?:not able|unable) to|['’]m (?:\w+ )?(?:not able|unable) to|(?:do not|don['’]t|won['’]t|will not|wouldn['’]t|would not|must|have to|need to|am going to have to|won['’]t be able to|am not (?:allowed|permitted|comfortable|programmed|designed) to|['’]m not (?:allowed|permitted|comfortable|programmed|designed)(?: to)?))"
_DEED = (
    r"(?:\w+ly )?(?:actually )?(?:view|see|watch|access|open|load|play|process|analy[sz]e|interpret"
    r"|perceive|look at|help|assist|describ\w*|provid\w*|identify|recogni[sz]e|determine|generate"
    r"|creat\w*|comply|fulfil\w*|complet\w*|answer\w*|continu\w*|discuss\w*|comment\w*|engag\w*"
    r"|support|do that|do this|give you|offer|summari[sz]e|tell you|decline|refuse|have|make out"
    r"|be able|proceed|write|produce|extract|directly|respond)\b"
)
_GIVEN = (
    r"(?:video|videos|image|images|frame|frames|picture|pictures|clip|clips|footage|file|files"
    r"|attachment|attachments|media|screenshots?|photos?|visual content|description)"
)
# Each begins a sentence. A person who is quoted in a caption speaks inside quotation marks.
_PATTERNS = (
    # apologies, and what follows them
    r"(?:i['’]?m|i am|we['’]?re|we are)\s+(?:\w+\s+)?(?:sorry|afraid)\b",
    r"(?:i|we)\s+(?:\w+\s+)?(?:apologi[sz]e|regret)\b",
    r"(?:sorry|apologies|my apologies|unfortunately|regrettably|regretfully)\b[,.!;:]*\s*(?:but\s+)?"
    r"(?:i|we|as an?|this|that|the (?:request|content)|there (?:is|are|was|were) no|no\b|it (?:is|seems|looks|appears)|cannot|can['’]?t|unable)",
    r"(?:sorry|apologies)[.!]?\s*$",
    # what a model cannot or will not do
    rf"(?:(?:but|however|while|although|since|because|and|so|well|hmm|oh|ah|unfortunately|currently|at this time|right now|at the moment|as such|therefore)[,\s]+)*(?:i|we)\s*{_NOT}\s+(?:(?:not|be|to)\s+)*{_DEED}",
    rf"(?:i|we)\s*{_NOT}\s+(?:have|possess)\s+(?:the\s+)?(?:access|ability|capability|capacity|means|permission)",
    r"(?:i|we) (?:lack|do not have|don['’]t have|have no) (?:the |any )?(?:access|ability|capabilit\w+|capacity|means|visual|way|information|enough)\b",
    r"(?:i|we) (?:must|have to|need to|will have to|['’]ll have to) (?:\w+ )?(?:decline|refuse|pass)\b",
    r"(?:i|we)\s*(?:do not|don['’]t|did not|didn['’]t|cannot|can['’]t) (?:actually )?(?:see|receive|find|have|detect) (?:any|the|an?|your|those|these|that|it)\b",
    rf"(?:unable|not able|impossible) to (?:\w+ )?{_DEED} (?:\w+ ){{0,3}}(?:{_GIVEN}|request|content|that|with)\b",
    rf"(?:cannot|can['’]t|can not) (?:\w+ )?{_DEED}",
    # what a model is
    r"(?:as|being|since i am|since i['’]m|because i am|because i['’]m|i am|i['’]m|i am just|i['’]m just|i am only|i['’]m only) (?:an? )?(?:\w+[- ])?(?:ai|a\.i\.|artificial intelligence|language model|large language model|llm|text[- ]based|text[- ]only|virtual assistant|assistant|chatbot|machine learning model)\b",
    r"(?:my|our) (?:programming|guidelines|training|capabilities|design|safety|policies|policy|instructions)\b",
    # what was not given
    r"(?:there (?:is|are|was|were|seems? to be|appears? to be)|i see) no (?:\w+ ){0,3}(?:videos?|images?|frames?|footage|attachments?)\b(?=\s*(?:[.,;!]|$|(?:to|for me|here|provided|attached|available|uploaded|given|shown|included|in (?:your|the (?:message|prompt|request)))\b))",
    rf"no (?:\w+ ){{0,2}}{_GIVEN} (?:was|were|is|are|has|have)(?: been)? (?:\w+ )?(?:provided|attached|uploaded|given|included|shared|available|visible|supplied|sent|received|found|loaded)",
    rf"(?:the|your|this|these|any) (?:\w+ ){{0,2}}{_GIVEN} (?:was|were|is|are|did|do|does|could|can|cannot|has|have|seems?|appears?)(?: not|n['’]t)?(?: to)?(?: be)?(?: been)?(?: not)? ?(?:not |un)(?:\w+ )?(?:load|loaded|provided|attached|uploaded|included|available|supported|shared|accessible|received|processed|viewed|come through|described|analy[sz]ed|given|supplied)\b",
    rf"(?:it (?:seems|looks|appears)|it would seem)(?: like| as if| as though| that)? (?:that )?(?:no|the|your|there (?:is|are|was|were) no|you)(?: \w+){{0,4}} ?{_GIVEN}? ?(?:\w+ )?(?:did not|didn['’]t|have not|haven['’]t|has not|hasn['’]t|was not|wasn['’]t|were not|weren['’]t|is missing|are missing|forgot|not|no|attached|provided|uploaded)\b",
    r"(?:please|could you|can you|would you|kindly|if you (?:can|could|would|provide|share|upload|describe)|feel free to|let me know|you (?:can|could|may|might|need to|will need to|haven['’]t|have not|did not|didn['’]t)) (?:please )?(?:re-?)?(?:provide|upload|share|attach|send|supply|give|describe|paste|try|clarify|specify|tell|resend|note that i)\b",
    r"(?:this|that|your|the) (?:request|content|material|query|prompt|question) (?:\w+ ){0,3}(?:violates|cannot|can['’]t|could not|goes against|is against|has been (?:blocked|flagged|filtered|refused)|was (?:blocked|flagged|filtered|refused)|was rejected|is not (?:allowed|permitted|something))",
    r"(?:request (?:denied|refused|blocked)|content (?:blocked|filtered|removed|warning|policy)|access denied|blocked by)",
    r"(?:i|we)(?: would|['’]d) (?:need|require|prefer not|rather not)\b",
    r"(?:i|we) (?:need|require) (?:more|additional|further|the|you|to see|access)\b",
    r"(?:in order )?to (?:help|assist|describe|answer|provide)(?: \w+){0,8},? (?:i|we)(?:['’]d| would)? need\b",
    r"(?:how (?:can|may) i (?:help|assist)|is there anything else|what would you like|i['’]d be happy to|i would be happy to|i['’]ll be happy to|i can help (?:you )?(?:with|if)|happy to help)\b",
    rf"(?:it (?:seems|looks|appears)(?: like| as if| as though| that)? )?(?:that )?(?:the |your |this |these |any |some )?(?:\w+ )?{_GIVEN} (?:\w+ )?(?:failed to|did not|didn['’]t|could not|couldn['’]t|cannot|can['’]t|(?:was|were) (?:not able|unable) to|does not|doesn['’]t)(?: properly| correctly)?(?: be| get)? (?:load|open|process|display|render|decode|upload|access|view|come through|describ|arriv|attach)",
    r"you (?:haven['’]t|have not|did not|didn['’]t|forgot to) (?:\w+ )?(?:provid|upload|attach|shar|includ|sen[dt]|giv|suppl)",
    r"(?:i|we)(?:['’]m| am|['’]re| are) (?:\w+ )?(?:designed|programmed|trained|built|made|created by|developed by|here to (?:help|assist))\b",
    r"(?:i|we) (?:\w+ )?(?:prefer not|refuse|decline)\b",
    r"(?:i|we) (?:can |am able to )?only (?:\w+ )?(?:process|have access|access|work|handle|read|see|understand|receive|deal)\b",
    r"(?:i|we) (?:do not|don['’]t) (?:\w+ )?know\b",
    r"(?:request|response|description|answer) (?:was |is |has been )?(?:declined|denied|refused|blocked|rejected|withheld)\b",
    r"(?:this |the )?content (?:is |was )?(?:not available|unavailable|restricted|blocked|filtered|removed|cannot)",
    r"(?:error|warning|exception)\s*:",
    r"(?:the|this) (?:user|assistant|ai|ai model|language model|model|system) (?:has not|hasn['’]t|cannot|can['’]t|did not|didn['’]t|is unable|is not able|does not|doesn['’]t|will not|won['’]t) (?:\w+ )?(?:provid|upload|attach|shar|view|see|access|process|describ|help|assist|have)",
    r"(?:certainly|sure|of course|okay|ok|absolutely|yes|hello|hi|thanks|thank you)\b[^.!?]{0,40}[,:]\s*(?:but )?(?:please|could you|can you|i can|i['’]m|i am)",
    # the same in other languages
    r"ich bin (?:leider )?nicht in der lage\b",
    r"(?:lo siento|lo lamento|perd[oó]n, pero|no puedo|me temo)\b",
    r"(?:es tut mir (?:sehr )?leid|tut mir leid|ich kann (?:leider|nicht|keine|das|dieses|diese)|leider kann ich|als ki\b)",
    r"(?:je suis (?:vraiment )?d[ée]sol[ée]e?|d[ée]sol[ée]e?,|je ne peux pas|je ne suis pas (?:en mesure|capable))",
    r"(?:mi dispiace|non posso|desculpe|lamento|sinto muito|n[ãa]o posso|n[ãa]o consigo|het spijt me|sorry, maar|przepraszam|nie mog[ęe]|извините|к сожалению|простите|я не могу)",
    r"(?:抱歉|对不起|對不起|很抱歉|非常抱歉|我无法|我無法|我不能|无法|作为一个|作為一個|申し訳|すみません|죄송|미안|عذر|آسف|क्षमा)",
)  # fmt: skip
# Anywhere: whoever describes a video does not speak of what he himself cannot do.
_OF_ITSELF = re.compile(
    r"\b(?:I|me)\b(?:['’]m| am| was|['’]ve been| have been)? ?(?:\w+ ){0,2}?"
    r"(?:can(?:no|['’])t|can not|could not|couldn['’]t|unable to|not able to|wasn['’]t able to|not possible to"
    r"|not (?:allowed|permitted) to|won['’]t be able|(?:don['’]t|do not) (?:\w+ )?(?:have|see|possess)"
    r"|not seeing any|not designed|must decline)\b"
    r"|(?:not possible|impossible) for me\b"
)
_REFUSAL = re.compile(rf"\W*(?:{'|'.join(_PATTERNS)})", re.IGNORECASE)
# A word for nothing, which is a fine answer to a question, and no description.
_NOTHING = re.compile(
    r"\W*(?:n\s*/\s*a|none|null|nil|not applicable|not available|nothing|unknown|undefined|unavailable|no (?:description|caption|answer|summary|comment|content|response|output|information)(?: (?:is |was )?(?:available|possible|provided|given|found|can be (?:provided|given|made)))?)\W*$",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|„[^“”]*[“”]|(?<!\w)['‘][^'‘’]{2,}['’](?!\w)")
_SENTENCES = re.compile(r"(?<=[.!?。！？:])\s+|\n+|(?<=[。！？])")


def is_nothing_said(text: str) -> bool:
    """Whether a description says that there is none."""
    return _NOTHING.fullmatch(text.strip()) is not None


def find_refusal(text: str) -> str | None:
    """The first sentence of a text that refuses, or None.

    A sentence refuses where the model speaks of itself ("I can't view videos", "As an AI"),
    apologises, or asks for what it was sent. What people in a video say stands in quotation marks,
    which are left out.
    """
    unquoted = _QUOTED.sub(" it ", text)
    for sentence in _SENTENCES.split(unquoted):
        if sentence and (_REFUSAL.match(sentence) or _OF_ITSELF.search(sentence)):
            return " ".join(sentence.split())
    return None
