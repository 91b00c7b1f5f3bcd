"""English to Chinese and back: `languages.chinese` has rules, `translating` what is held out."""

from bench.training.languages import chinese
from bench.training.languages.translating import Translation
from bench.training.words.pronouns import ONLY_CHINESE

NAME = "english_chinese"

_TRANSLATION = Translation(NAME, "Chinese", chinese.say, chinese.comes_back, ONLY_CHINESE, column=2)
taught = _TRANSLATION.taught
held_out = _TRANSLATION.held_out
