"""Verbs for translation, conjugated, and what one does them to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Verb:
    """A verb in the present. The French forms are of je, tu, il, nous, vous, ils."""

    english: str
    third: str
    going_on: str  # "sleeping"; empty for what is not done but is so
    infinitive: str
    french: tuple[str, ...]
    chinese: str
    chinese_not: str
    objects: tuple[str, ...] = ()
    animals: bool = False  # whether animals do it, too


def _regular(infinitive: str) -> tuple[str, ...]:
    stem = infinitive.removesuffix("er")
    soft = "e" if stem.endswith("g") else ""
    return tuple(stem + end for end in ("e", "es", "e", soft + "ons", "ez", "ent"))


def _verb(english: str, infinitive: str, chinese: str, objects: str = "", french: str = "") -> Verb:
    """`english` has base, third person and -ing, with / between; * says that animals do it."""
    base, third, going_on = english.strip("*").split("/")
    return Verb(
        base,
        third,
        going_on,
        infinitive,
        tuple(french.split()) or _regular(infinitive),
        chinese,
        NOT.get(chinese, "不" + chinese),
        tuple(objects.split()),
        english.endswith("*"),
    )


_ECRIRE = "écris écris écrit écrivons écrivez écrivent"
_ACHETER = "achète achètes achète achetons achetez achètent"
_VENDRE = "vends vends vend vendons vendez vendent"
_VOULOIR = "veux veux veut voulons voulez veulent"
_VOIR = "vois vois voit voyons voyez voient"
_CONNAITRE = "connais connais connaît connaissons connaissez connaissent"
_OUVRIR = "ouvre ouvres ouvre ouvrons ouvrez ouvrent"
NOT = {"有": "没有", "看见": "看不见"}

INTRANSITIVE = (
    _verb("sleep/sleeps/sleeping*", "dormir", "睡觉", "", "dors dors dort dormons dormez dorment"),
    _verb("sing/sings/singing", "chanter", "唱歌"),
    _verb("dance/dances/dancing", "danser", "跳舞"),
    _verb("run/runs/running*", "courir", "跑步", "", "cours cours court courons courez courent"),
    _verb("swim/swims/swimming*", "nager", "游泳"),
    _verb("work/works/working", "travailler", "工作"),
    _verb("play/plays/playing*", "jouer", "玩"),
    _verb("cry/cries/crying", "pleurer", "哭"),
    _verb("laugh/laughs/laughing", "rire", "笑", "", "ris ris rit rions riez rient"),
    _verb("walk/walks/walking*", "marcher", "走路"),
    _verb("study/studies/studying", "étudier", "学习"),
)
TRANSITIVE = (
    _verb("eat/eats/eating*", "manger", "吃", "food"),
    _verb("drink/drinks/drinking*", "boire", "喝", "drink", "bois bois boit buvons buvez boivent"),
    _verb("read/reads/reading", "lire", "读", "text", "lis lis lit lisons lisez lisent"),
    _verb("write/writes/writing", "écrire", "写", "text", _ECRIRE),
    _verb("buy/buys/buying", "acheter", "买", "food thing", _ACHETER),
    _verb("sell/sells/selling", "vendre", "卖", "food thing", _VENDRE),
    _verb("have/has/", "avoir", "有", "animal thing paper food", "ai as a avons avez ont"),
    _verb("want/wants/", "vouloir", "想要", "animal thing food drink", _VOULOIR),
    _verb("like/likes/*", "aimer", "喜欢", "animal person thing food drink show"),
    _verb("see/sees/*", "voir", "看见", "animal person thing paper show", _VOIR),
    _verb("know/knows/", "connaître", "认识", "person", _CONNAITRE),
    _verb("look for/looks for/looking for*", "chercher", "找", "animal person thing paper"),
    _verb("open/opens/opening", "ouvrir", "开", "opening", _OUVRIR),
    _verb("close/closes/closing", "fermer", "关", "opening"),
    _verb("wash/washes/washing", "laver", "洗", "washable"),
    _verb("help/helps/helping", "aider", "帮助", "person"),
    _verb("watch/watches/watching*", "regarder", "看", "animal show"),
    _verb("speak/speaks/", "parler", "说", "language"),
)
LIKE = next(verb for verb in TRANSITIVE if verb.english == "like")
HAVE = next(verb for verb in TRANSITIVE if verb.english == "have")
GO = _verb("go/goes/going", "aller", "去", "", "vais vas va allons allez vont")
WANT = next(verb for verb in TRANSITIVE if verb.english == "want")
BE = ("suis", "es", "est", "sommes", "êtes", "sont")
