"""WordNet's dictionary files: lemmas, and how similar two words are (Wu and Palmer, 1994).

Read from the files themselves (wndb(5WN)), which Debian packages as ``wordnet-base``. Base forms
are found by the rules of morphy(7WN); the similarity is the one that NLTK computes, whose treatment
of several parts of speech and of several paths published WUPS figures depend on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from llava_video.errors import InputError

FOLDERS = (Path("/usr/share/wordnet"), Path("/usr/share/wordnet/dict"))
"""Where distributions put the files."""

_PARTS = {"n": "noun", "v": "verb", "a": "adj", "r": "adv"}
"""Parts of speech, in the order in which the senses of a word are listed."""

_ENDINGS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "n": (("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch"),
          ("shes", "sh"), ("men", "man"), ("ies", "y")),
    "v": (("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"),
          ("ing", "")),
    "a": (("er", ""), ("est", ""), ("er", "e"), ("est", "e")),
    "r": (),
}  # fmt: skip

Synset = tuple[str, int]
"""Part of speech, and offset of the line in its data file."""

_ROOT: Synset = ("", 0)
"""Above everything but nouns, whose own root is above them."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A synset: its name among synsets (first word, part, number of the sense), what is above."""

    name: str
    above: tuple[Synset, ...]


class WordNet:
    """The dictionary of a folder.

    Args:
        folder: with ``index.noun``, ``data.noun``, ``noun.exc`` and so on; searched for among
            `FOLDERS` by default.

    Raises:
        InputError: the files are not there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        places = FOLDERS if folder is None else (folder, folder / "dict")
        found = next((place for place in places if (place / "index.noun").is_file()), None)
        if found is None:
            where = " or ".join(map(str, places))
            raise InputError(
                f"no WordNet in {where}; install Debian's wordnet-base, or unpack WordNet 3.0 "
                "(https://wordnet.princeton.edu) and give --wordnet DIR"
            )
        self.folder = found
        self.base_forms = cache(self._base_forms)
        self.lemma = cache(self._lemma)
        self.similarity = cache(self._similarity)
        self._distances = cache(self._count_distances)
        self._depths = cache(self._count_depths)
        self._line = cache(self._read_line)

    @cached_property
    def _senses(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Offsets of the senses of each word, by part of speech."""
        found: dict[str, dict[str, tuple[int, ...]]] = {}
        for part, name in _PARTS.items():
            senses = found[part] = {}
            for line in self._lines(f"index.{name}"):
                if not line.startswith("  "):  # the licence
                    fields = line.split()
                    senses[fields[0]] = tuple(map(int, fields[-int(fields[2]) :]))
        return found

    @cached_property
    def _exceptions(self) -> dict[str, dict[str, list[str]]]:
        """Base forms of irregular words."""
        return {
            part: {form: bases for form, *bases in map(str.split, self._lines(f"{name}.exc"))}
            for part, name in _PARTS.items()
        }

    @cached_property
    def _counts(self) -> dict[tuple[str, str], int]:
        """How often a word has a part of speech, in the texts that WordNet's authors tagged."""
        counts: dict[tuple[str, str], int] = {}
        for line in self._lines("cntlist.rev"):
            key, _, number = line.split()
            word, _, rest = key.partition("%")
            part = "nvara"[int(rest[0]) - 1]
            counts[word, part] = counts.get((word, part), 0) + int(number)
        return counts

    @cached_property
    def _data(self) -> dict[str, bytes]:
        return {part: self._bytes(f"data.{name}") for part, name in _PARTS.items()}

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.folder / name).read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.folder / name}: cannot be read ({error.strerror}); install WordNet 3.0 anew"
            ) from error

    def _lines(self, name: str) -> Iterator[str]:
        return iter(self._bytes(name).decode("latin-1").splitlines())

    def _read_line(self, synset: Synset) -> _Line:
        part, offset = synset
        data = self._data[part]
        fields = data[offset : data.index(b"\n", offset)].decode("latin-1").split(" | ")[0].split()
        num_words = int(fields[3], 16)
        pointers = fields[4 + 2 * num_words :]
        above: dict[str, list[Synset]] = {"@": [], "@i": []}
        for number in range(int(pointers[0])):
            kind, target, target_part, _ = pointers[1 + 4 * number : 5 + 4 * number]
            if kind in above:
                above[kind].append((target_part, int(target)))
        word = fields[4].lower().partition("(")[0]
        sense = self._senses[part].get(word, (offset,)).index(offset) + 1
        return _Line(f"{word}.{fields[2]}.{sense:02d}", (*above["@"], *above["@i"]))

    def _base_forms(self, word: str, part: str) -> tuple[str, ...]:
        """Base forms of a word that are in the dictionary, by the rules of morphy."""
        known = self._senses[part]

        def in_dictionary(forms: list[str]) -> tuple[str, ...]:
            return tuple(dict.fromkeys(form for form in forms if form in known))

        def without_ending(forms: list[str]) -> list[str]:
            return [
                form.removesuffix(old) + new
                for form in forms
                for old, new in _ENDINGS[part]
                if form.endswith(old)
            ]

        if word in self._exceptions[part]:
            return in_dictionary([word, *self._exceptions[part][word]])
        forms = without_ending([word])
        found = in_dictionary([word, *forms])
        while not found and forms:
            forms = without_ending(forms)
            found = in_dictionary(forms)
        return found

    def _lemma(self, word: str) -> str:
        """The base form of a word as the part of speech that it has most often.

        The shortest of several; the word itself if it is not in the dictionary.
        """
        forms = {
            part: min(found, key=len) for part in _PARTS if (found := self.base_forms(word, part))
        }
        if not forms:
            return word
        return forms[max(forms, key=lambda part: self._counts.get((forms[part], part), 0))]

    def _first_sense(self, word: str) -> Synset | None:
        for part in _PARTS:
            for form in self.base_forms(word, part):
                return part, self._senses[part][form][0]
        return None

    def _similarity(self, first: str, second: str) -> float:
        """Wu and Palmer's similarity of the first senses of two words, 0 to 1.

        Twice the depth of what is lowest above both, over the lengths of the ways from the root
        through it. 1 for equal words, 0 where one is not in the dictionary or nothing is above
        both.
        """
        if first == second:
            return 1.0
        a, b = self._first_sense(first.lower()), self._first_sense(second.lower())
        if a is None or b is None:
            return 0.0
        has_root = a[0] != "n" or b[0] != "n"
        from_a, from_b = (self._distances(each, has_root) for each in (a, b))
        shared = [each for each in from_a if each in from_b]
        if not shared:
            return 0.0
        deepest = max(self._depths(each)[0] for each in shared)
        lowest = [each for each in shared if self._depths(each)[0] == deepest]
        subsumer = a if a in lowest else min(lowest, key=self._name)
        above = {_ROOT: 0} if subsumer == _ROOT else self._distances(subsumer, has_root)
        depth = self._depths(subsumer)[1] + 1
        length = 2 * depth + sum(
            min(distances[each] + above[each] for each in above if each in distances)
            for distances in (from_a, from_b)
        )
        return 2 * depth / length

    def _name(self, synset: Synset) -> str:
        return "" if synset == _ROOT else self._line(synset).name

    def _count_distances(self, synset: Synset, has_root: bool) -> Mapping[Synset, int]:
        """Steps to everything above a synset, the synset itself included."""
        found = {synset: 0}
        queue = deque([synset])
        while queue:
            each = queue.popleft()
            for above in self._line(each).above:
                if above not in found:
                    found[above] = found[each] + 1
                    queue.append(above)
        if has_root:
            found[_ROOT] = max(found.values()) + 1
        return found

    def _count_depths(self, synset: Synset) -> tuple[int, int]:
        """Steps to the top, by the shortest and by the longest way."""
        above = () if synset == _ROOT else self._line(synset).above
        if not above:
            return 0, 0
        shortest, longest = zip(*(self._depths(each) for each in above), strict=True)
        return 1 + min(shortest), 1 + max(longest)
