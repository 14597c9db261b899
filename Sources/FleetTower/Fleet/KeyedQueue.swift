/// A priority queue whose elements have names, so that they can be moved and removed: lowest priority value first,
/// first come first among equals.
///
/// Removal is lazy: the heap keeps dead entries until they surface, or until they outnumber the living.
struct KeyedQueue<Key: Hashable & Sendable, Priority: Comparable & Sendable>: Sendable {
  private struct Entry: Comparable, Sendable {
    let priority: Priority
    let ticket: UInt64
    let key: Key
    static func == (a: Entry, b: Entry) -> Bool { a.ticket == b.ticket }
    static func < (a: Entry, b: Entry) -> Bool {
      a.priority != b.priority ? a.priority < b.priority : a.ticket < b.ticket
    }
  }

  private struct Place: Sendable {
    let ticket: UInt64
    let priority: Priority
  }

  private var heap = PriorityQueue<Entry>()
  /// Each element's one living entry.
  private var places: [Key: Place] = [:]
  private var lastTicket: UInt64 = 0

  var count: Int { places.count }
  var isEmpty: Bool { places.isEmpty }
  var keys: some Collection<Key> { places.keys }
  func contains(_ key: Key) -> Bool { places[key] != nil }
  func priority(of key: Key) -> Priority? { places[key]?.priority }

  /// The first element; dead entries never stay on top.
  var first: (key: Key, priority: Priority)? { heap.first.map { ($0.key, $0.priority) } }

  /// Adds the element, or moves it to another priority, behind those that have it already.
  mutating func set(_ key: Key, _ priority: Priority) {
    lastTicket += 1
    places[key] = Place(ticket: lastTicket, priority: priority)
    heap.insert(Entry(priority: priority, ticket: lastTicket, key: key))
    clean()
  }

  mutating func remove(_ key: Key) {
    guard places.removeValue(forKey: key) != nil else { return }
    clean()
  }

  /// Removes the first element unless it lies beyond the limit.
  mutating func take(upTo limit: Priority) -> Key? {
    guard let (key, priority) = first, priority <= limit else { return nil }
    remove(key)
    return key
  }

  private mutating func clean() {
    while let top = heap.first, places[top.key]?.ticket != top.ticket { heap.removeFirst() }
    if heap.count > 2 * places.count + 64 {
      let places = places
      heap.removeAll { places[$0.key]?.ticket != $0.ticket }
    }
  }
}
