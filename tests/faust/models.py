"""The records that both sides know; in C++ they are in faust_peer.cc."""
from typing import List, Optional

import faust


class Point(faust.Record, namespace="geo.Point"):
    x: int
    y: float


class Line(faust.Record, namespace="geo.Line"):
    start: Point
    end: Point
    label: Optional[str] = None


class Shape(faust.Record, abstract=True, polymorphic_fields=True):
    """`__faust` in the text distinguishes the shapes."""


class Circle(Shape, namespace="geo.Circle"):
    centre: Point
    radius: float


class Square(Shape, namespace="geo.Square"):
    corner: Point
    side: float


class Drawing(faust.Record, namespace="geo.Drawing"):
    name: str
    shapes: List[Shape]

    def doubled(self):
        shapes = [s.derive(radius=s.radius * 2) if isinstance(s, Circle) else s.derive(side=s.side * 2)
                  for s in self.shapes]
        return Drawing(name=self.name, shapes=shapes)


class Numbered(faust.Record, include_metadata=False):
    number: int
    by: List[str] = []


class Order(faust.Record, namespace="peer.Order"):
    number: int
    customer: str
