/// A binary heap: the smallest element first. Inlinable, because the simulator keeps its agenda in one.
public struct PriorityQueue<Element: Comparable & Sendable>: Sendable {
  @usableFromInline var heap: [Element] = []

  @inlinable public init() {}

  @inlinable public var first: Element? { heap.first }
  @inlinable public var count: Int { heap.count }
  @inlinable public var isEmpty: Bool { heap.isEmpty }

  @inlinable public mutating func insert(_ element: Element) {
    heap.append(element)
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard heap[child] < heap[parent] else { return }
      heap.swapAt(child, parent)
      child = parent
    }
  }

  @discardableResult
  @inlinable public mutating func removeFirst() -> Element {
    heap.swapAt(0, heap.count - 1)
    let first = heap.removeLast()
    sink(0)
    return first
  }

  /// Drops what is no longer wanted; costs as much as building the heap anew.
  @inlinable public mutating func removeAll(where isUnwanted: (Element) -> Bool) {
    heap.removeAll(where: isUnwanted)
    for index in stride(from: heap.count / 2 - 1, through: 0, by: -1) { sink(index) }
  }

  @inlinable mutating func sink(_ start: Int) {
    var parent = start
    while true {
      var smallest = parent
      for child in (2 * parent + 1)...(2 * parent + 2) where child < heap.count && heap[child] < heap[smallest] {
        smallest = child
      }
      guard smallest != parent else { return }
      heap.swapAt(parent, smallest)
      parent = smallest
    }
  }
}
