"""Where things are and where one goes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A place one is at and, unless the forms are empty, one goes to."""

    at: str
    french_at: str
    chinese_at: str  # behind 在
    to: str = ""
    french_to: str = ""
    chinese_to: str = ""


def _rows(*rows: str) -> tuple[Place, ...]:
    """One place a row: English, French and Chinese, at it and, for some, to it."""
    return tuple(Place(*(part.strip() for part in row.split("|"))) for row in rows)


PLACES = _rows(
    "in the garden | dans le jardin | 花园里 | to the garden | au jardin | 花园",
    "in the park | dans le parc | 公园里 | to the park | au parc | 公园",
    "at school | à l'école | 学校里 | to school | à l'école | 学校",
    "at the market | au marché | 市场里 | to the market | au marché | 市场",
    "at the station | à la gare | 火车站里 | to the station | à la gare | 火车站",
    "at the restaurant | au restaurant | 餐厅里 | to the restaurant | au restaurant | 餐厅",
    "at the office | au bureau | 办公室里 | to the office | au bureau | 办公室",
    "in the kitchen | dans la cuisine | 厨房里",
    "in the street | dans la rue | 街上",
    "in the house | dans la maison | 房子里",
    "at home | à la maison | 家里",
)
SPOTS = _rows(
    "on the table | sur la table | 桌子上",
    "under the table | sous la table | 桌子下",
    "on the chair | sur la chaise | 椅子上",
    "under the chair | sous la chaise | 椅子下",
)
GOALS = tuple(place for place in PLACES if place.to)
