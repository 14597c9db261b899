public import Foundation
import JSON

/// Plans as JSON, for people and other programs: names in snake case, sorted.
extension PruningPlan {
  public func encoded() throws(JSONError) -> String { try JSON.text(self, .snakeCase) }

  /// - Parameter file: what to call the content in an error.
  /// - Throws: `PruningError` if it is no plan. Whether it fits a network is for `apply` to say.
  public init(decoding data: Data, file: String) throws(PruningError) {
    do {
      self = try JSON.decode(PruningPlan.self, from: data, .snakeCase)
    } catch {
      throw PruningError("\(file): is no pruning plan (\(error))")
    }
  }
}
