/// The place of an element in a `Table`: the place of a job cannot be taken for that of a sweep.
struct Place<Element>: Hashable, Strideable, Sendable, CustomStringConvertible {
  fileprivate let value: Int
  var description: String { "\(Element.self) \(value)" }
  func distance(to other: Place) -> Int { other.value - value }
  func advanced(by distance: Int) -> Place { Place(value: value + distance) }
}

/// A list that only grows, so that places in it stay what they are.
struct Table<Element: Sendable>: RandomAccessCollection, Sendable {
  private var elements: [Element] = []

  var startIndex: Place<Element> { Place(value: 0) }
  var endIndex: Place<Element> { Place(value: elements.count) }
  mutating func append(_ element: Element) { elements.append(element) }

  subscript(place: Place<Element>) -> Element {
    _read { yield elements[place.value] }
    _modify { yield &elements[place.value] }
  }
}

typealias JobIndex = Place<Job>
typealias SweepIndex = Place<SweepState>
