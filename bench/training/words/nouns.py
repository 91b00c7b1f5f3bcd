"""Nouns for translation: what they are called, and how each language counts them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """A noun in three languages. One without a plural is a mass: some water, du pain."""

    english: str
    english_plural: str
    french: str
    french_plural: str
    feminine: bool
    chinese: str
    measure: str
    kind: str
    of: tuple[str, ...] = ()  # more kinds that verbs and adjectives ask for

    @property
    def mass(self) -> bool:
        return not self.english_plural

    @property
    def can_be_owned(self) -> bool:
        """ "My man" and "my girl" say something else."""
        return self.kind != "person" or "owned" in self.of

    @property
    def fits_a_table(self) -> bool:
        """Whether one finds it on or under a table."""
        return self.kind != "person" and not {"fixed", "large"} & set(self.of)

    @property
    def kinds(self) -> tuple[str, ...]:
        return (self.kind, *self.of)


def _rows(kind: str, *rows: str) -> tuple[Noun, ...]:
    """One noun a row: English, its plural, French with article and plural, Chinese, measure."""
    return tuple(_noun(kind, row.split()) for row in rows)


def _noun(kind: str, row: list[str]) -> Noun:
    english, plural, article, french, french_plural, chinese, measure, *of = row
    plural, french_plural = plural.strip("-"), french_plural.strip("-")
    return Noun(
        english, plural, french, french_plural, article == "une", chinese, measure, kind, tuple(of)
    )


ANIMALS = _rows(
    "animal",
    "cat cats un chat chats 猫 只",
    "dog dogs un chien chiens 狗 只",
    "bird birds un oiseau oiseaux 鸟 只",
    "horse horses un cheval chevaux 马 匹 large",
    "rabbit rabbits un lapin lapins 兔子 只",
)
PEOPLE = _rows(
    "person",
    "man men un homme hommes 男人 个 aged youth",
    "woman women une femme femmes 女人 个 aged youth",
    "boy boys un garçon garçons 男孩 个 little",
    "girl girls une fille filles 女孩 个 little",
    "child children un enfant enfants 孩子 个 little owned",
    "friend friends un ami amis 朋友 个 aged owned known",
    "teacher teachers un professeur professeurs 老师 个 trade owned youth known",
    "doctor doctors un médecin médecins 医生 个 trade owned youth known",
    "student students un étudiant étudiants 学生 个 trade owned known",
)
FOOD = _rows(
    "food",
    "apple apples une pomme pommes 苹果 个 washable",
    "egg eggs un œuf œufs 鸡蛋 个",
    "cake cakes un gâteau gâteaux 蛋糕 个",
    "bread - un pain - 面包 -",
    "rice - un riz - 米饭 - warm",
    "soup - une soupe - 汤 - warm",
)
DRINKS = _rows(
    "drink",
    "water - une eau - 水 - warm",
    "coffee - un café - 咖啡 - warm",
    "tea - un thé - 茶 - warm",
    "milk - un lait - 牛奶 - warm",
)
THINGS = _rows(
    "thing",
    "book books un livre livres 书 本 text",
    "car cars une voiture voitures 车 辆 washable large",
    "house houses une maison maisons 房子 座 fixed",
    "table tables une table tables 桌子 张 washable large",
    "chair chairs une chaise chaises 椅子 把 washable large",
    "door doors une porte portes 门 扇 opening fixed",
    "window windows une fenêtre fenêtres 窗户 扇 opening washable fixed",
    "flower flowers une fleur fleurs 花 朵",
    "hat hats un chapeau chapeaux 帽子 顶 washable",
    "phone phones un téléphone téléphones 手机 部",
    "key keys une clé clés 钥匙 把",
    "tree trees un arbre arbres 树 棵 fixed",
)
PAPERS = _rows("paper", "letter letters une lettre lettres 信 封 text")
SHOWS = _rows("show", "film films un film films 电影 部")
LANGUAGES = _rows(
    "language",
    "English - un anglais - 英语 -",
    "French - un français - 法语 -",
    "Chinese - un chinois - 中文 -",
)
NOUNS = ANIMALS + PEOPLE + FOOD + DRINKS + THINGS + PAPERS + SHOWS
TRADES = tuple(noun for noun in PEOPLE if "trade" in noun.kinds)
FRENCH_TRADES_OF_WOMEN = {"étudiant": "étudiante"}
