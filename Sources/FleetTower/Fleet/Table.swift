/// The place of an element in a `Table`: the place of a job cannot be taken for that of a sweep.
struct Place<Element>: Hashable, Comparable, Sendable, CustomStringConvertible {
  fileprivate let value: Int
  var description: String { "\(Element.self) \(value)" }
  static func < (a: Place, b: Place) -> Bool { a.value < b.value }
}

/// A list that only grows, so that places in it stay what they are.
struct Table<Element: Sendable>: RandomAccessCollection, Sendable {
  private var elements: [Element] = []

  var startIndex: Place<Element> { Place(value: 0) }
  var endIndex: Place<Element> { Place(value: elements.count) }
  func index(_ place: Place<Element>, offsetBy distance: Int) -> Place<Element> { Place(value: place.value + distance) }
  func distance(from start: Place<Element>, to end: Place<Element>) -> Int { end.value - start.value }
  func index(after place: Place<Element>) -> Place<Element> { index(place, offsetBy: 1) }
  func index(before place: Place<Element>) -> Place<Element> { index(place, offsetBy: -1) }

  subscript(place: Place<Element>) -> Element {
    _read { yield elements[place.value] }
    _modify { yield &elements[place.value] }
  }

  mutating func append(_ element: Element) { elements.append(element) }
}

typealias JobIndex = Place<Job>
typealias SweepIndex = Place<SweepState>
