"""Who does something without a noun: pronouns, and names."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Pronoun:
    """`person` counts je, tu, il, nous, vous, ils from 0."""

    english: str
    french: str
    chinese: str
    person: int
    feminine: bool = False
    plural: bool = False


PRONOUNS = (
    Pronoun("I", "je", "我", 0),
    Pronoun("you", "vous", "你", 4),
    Pronoun("he", "il", "他", 2),
    Pronoun("she", "elle", "她", 2, feminine=True),
    Pronoun("we", "nous", "我们", 3, plural=True),
    Pronoun("they", "ils", "他们", 5, plural=True),
)
# English does not tell these from "you" and "they": one only translates from them.
ONLY_FRENCH = (
    Pronoun("you", "tu", "你", 1),
    Pronoun("they", "elles", "她们", 5, feminine=True, plural=True),
)
ONLY_CHINESE = (Pronoun("they", "elles", "她们", 5, feminine=True, plural=True),)
NAMES = (
    Pronoun("Anna", "Anna", "安娜", 2, feminine=True),
    Pronoun("Mary", "Marie", "玛丽", 2, feminine=True),
    Pronoun("Paul", "Paul", "保罗", 2),
)
NUMBERS = {
    2: ("two", "deux", "两"),
    3: ("three", "trois", "三"),
    4: ("four", "quatre", "四"),
    5: ("five", "cinq", "五"),
    6: ("six", "six", "六"),
    7: ("seven", "sept", "七"),
    8: ("eight", "huit", "八"),
    9: ("nine", "neuf", "九"),
    10: ("ten", "dix", "十"),
}
