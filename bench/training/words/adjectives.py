"""Adjectives for translation, and of what one says them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Adjective:
    """French stands `before` the noun or behind it; Chinese has a form for each place."""

    english: str
    french: str
    feminine: str
    before_vowel: str
    before: bool
    chinese: str  # before the noun
    predicate: str  # behind 很, or a colour behind 是
    kinds: tuple[str, ...]

    @property
    def is_colour(self) -> bool:
        return self.predicate.endswith("色的")

    @property
    def is_feeling(self) -> bool:
        """Here only a predicate: 累 does not stand before a noun."""
        return not self.chinese


def _rows(*rows: str) -> tuple[Adjective, ...]:
    return tuple(_adjective(row.split()) for row in rows)


def _adjective(row: list[str]) -> Adjective:
    english, place, french, feminine, before_vowel, chinese, predicate, *kinds = row
    return Adjective(
        english,
        french,
        feminine,
        french if before_vowel == "-" else before_vowel,
        place == "<",
        chinese.strip("-"),
        predicate,
        tuple(kinds),
    )


OLD_OF_THE_LIVING = "老"
ADJECTIVES = _rows(
    "big < grand grande - 大 大 animal thing paper",
    "small < petit petite - 小 小 animal thing paper little",
    "good < bon bonne - 好 好 food drink text show known",
    "beautiful < beau belle bel 漂亮的 漂亮 animal thing paper person",
    "old < vieux vieille vieil 旧 旧 animal thing paper show aged",
    "new < nouveau nouvelle nouvel 新 新 thing paper show",
    "young < jeune jeune - 年轻的 年轻 youth",
    "red > rouge rouge - 红色的 红色的 thing",
    "black > noir noire - 黑色的 黑色的 thing animal",
    "white > blanc blanche - 白色的 白色的 thing animal",
    "blue > bleu bleue - 蓝色的 蓝色的 thing",
    "green > vert verte - 绿色的 绿色的 thing",
    "cold > froid froide - 冷 冷 warm",
    "hot > chaud chaude - 热 热 warm",
    "clean > propre propre - 干净的 干净 washable",
    "dirty > sale sale - 脏 脏 washable",
    "expensive > cher chère - 贵的 贵 thing",
    "clever > intelligent intelligente - 聪明的 聪明 person animal",
    "happy > heureux heureuse - - 高兴 person",
    "sad > triste triste - - 难过 person",
    "tired > fatigué fatiguée - - 累 person",
)
