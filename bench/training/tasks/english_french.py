"""English to French and back: `languages.french` has rules, `translating` what is held out."""

from bench.training.languages import french
from bench.training.languages.translating import Translation
from bench.training.words.pronouns import ONLY_FRENCH

NAME = "english_french"

_TRANSLATION = Translation(NAME, "French", french.say, french.comes_back, ONLY_FRENCH, column=1)
taught = _TRANSLATION.taught
held_out = _TRANSLATION.held_out
