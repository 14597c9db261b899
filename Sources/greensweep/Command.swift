import Foundation
import Wording
import YAML

/// One command of `greensweep`: what it takes, said once, so that parsing, `--help` and suggestions agree.
struct Command: Sendable {
  var name: String
  var summary: String
  /// Names of the positional arguments in order, such as `SWEEP.yaml`.
  var positionals: [String] = []
  /// How many of the positionals may be left out, from the end.
  var optionalPositionals = 0
  /// The last positional may be repeated.
  var repeatsLast = false
  var options: [Option] = []
  /// Left out of the overview: called by the program itself.
  var isInternal = false
  /// Further words of the help: defaults that need a sentence, examples.
  var discussion = ""
  var run: @Sendable (Arguments) async throws -> Void
}

/// `--name` or `--name VALUE`.
struct Option: Sendable {
  var name: String
  /// The name of the value in the help; nil for a flag.
  var value: String?
  var help: String
  /// Other spellings, such as `-o`.
  var aliases: [String] = []
  var repeats = false
  /// The option has an effect only beside one of these. Empty: always.
  var needs: [String] = []
  /// The option contradicts these, or says the same.
  var excludes: [String] = []

  init(
    _ name: String, _ value: String? = nil, aliases: [String] = [], repeats: Bool = false, needs: [String] = [],
    excludes: [String] = [], help: String
  ) {
    self.name = name
    self.value = value
    self.help = help
    self.aliases = aliases
    self.repeats = repeats
    self.needs = needs
    self.excludes = excludes
  }

  /// The same option where it has an effect only beside one of others.
  func needing(_ names: [String]) -> Option {
    var option = self
    option.needs = names
    return option
  }

  /// The same option where it contradicts others.
  func excluding(_ names: [String]) -> Option {
    var option = self
    option.excludes += names
    return option
  }

  static let json = Option("--json", help: "print JSON: one object or list on the last line")
}

/// The call was wrong: exit status 2.
struct UsageError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// The work failed: exit status 1.
struct WorkError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

/// The words that were given for one command.
struct Arguments: Sendable {
  private(set) var positionals: [String] = []
  let command: String
  private var values: [String: [String]] = [:]

  /// - Throws: `UsageError` naming the argument, with the nearest known option for an unknown one.
  init(_ words: [String], for command: Command) throws {
    self.command = command.name
    var known: [String: Option] = [:]
    for option in command.options { for name in [option.name] + option.aliases { known[name] = option } }
    var rest = words[...]
    while let word = rest.popFirst() {
      if word == "--" {
        positionals += rest
        break
      }
      guard word.hasPrefix("-"), word != "-" else {
        positionals.append(word)
        continue
      }
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard let option = known[parts[0]] else {
        throw UsageError(
          "\(command.name): no option ‘\(parts[0].shortened())’" + suggestion(parts[0], among: known.keys.sorted()))
      }
      try take(option, inline: parts.count == 2 ? parts[1] : nil, rest: &rest, command: command)
    }
    try checkPositionals(of: command)
    try checkCombinations(of: command)
  }

  /// An option that could have no effect is a misunderstanding.
  private func checkCombinations(of command: Command) throws {
    for option in command.options where has(option.name) {
      if !option.needs.isEmpty, !option.needs.contains(where: has) {
        throw UsageError(
          "\(command.name): \(option.name) has an effect only with \(option.needs.joined(separator: " or "))")
      }
      if let other = option.excludes.first(where: has) {
        throw UsageError("\(command.name): \(option.name) and \(other) cannot be combined; leave one of them out")
      }
    }
  }

  /// - Parameter reason: why the options have no effect, such as `MODEL is a file`.
  /// - Throws: `UsageError` if one of the options is given.
  func refuse(_ names: [String], because reason: String) throws {
    guard let name = names.first(where: has) else { return }
    throw UsageError("\(command): \(name) has no effect here: \(reason)")
  }

  private mutating func take(
    _ option: Option, inline: String?, rest: inout ArraySlice<String>, command: Command
  ) throws {
    if !option.repeats, values[option.name] != nil {
      throw UsageError("\(command.name): \(option.name) is given twice")
    }
    guard let valueName = option.value else {
      guard inline == nil else { throw UsageError("\(command.name): \(option.name) takes no value") }
      values[option.name] = [""]
      return
    }
    guard let value = inline ?? rest.popFirst() else {
      throw UsageError("\(command.name): \(option.name) needs a value: \(option.name) \(valueName)")
    }
    values[option.name, default: []].append(value)
  }

  private func checkPositionals(of command: Command) throws {
    let required = command.positionals.count - command.optionalPositionals
    if positionals.count < required {
      throw UsageError("\(command.name): \(command.positionals[positionals.count]) is missing\n\(command.usage)")
    }
    if positionals.count > command.positionals.count, !command.repeatsLast {
      throw UsageError(
        "\(command.name): ‘\(positionals[command.positionals.count].shortened())’ is one argument too many")
    }
  }

  func has(_ name: String) -> Bool { values[name] != nil }
  func string(_ name: String) -> String? { values[name]?.last }
  func strings(_ name: String) -> [String] { values[name] ?? [] }

  func int(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let text = string(name) else { return nil }
    guard let value = Int(text), range.contains(value) else {
      throw UsageError(
        "\(name) takes a whole number from \(range.lowerBound) to \(range.upperBound), not ‘\(text.shortened())’")
    }
    return value
  }

  func double(_ name: String, in range: ClosedRange<Double>) throws -> Double? {
    guard let text = string(name) else { return nil }
    guard let value = Double(text), range.contains(value) else {
      throw UsageError(
        "\(name) takes a number from \(range.lowerBound) to \(range.upperBound), not ‘\(text.shortened())’")
    }
    return value
  }

  func choice(_ name: String, among choices: [String]) throws -> String? {
    guard let text = string(name) else { return nil }
    guard choices.contains(text) else {
      throw UsageError(
        "\(name) is one of \(choices.joined(separator: ", ")), not ‘\(text.shortened())’"
          + suggestion(text, among: choices))
    }
    return text
  }
}

extension Command {
  var usage: String {
    var words = ["usage: greensweep \(name)"]
    for (index, positional) in positionals.enumerated() {
      let isOptional = index >= positionals.count - optionalPositionals
      let dots = repeatsLast && index == positionals.count - 1 ? " …" : ""
      words.append(isOptional ? "[\(positional)\(dots)]" : "\(positional)\(dots)")
    }
    if !options.isEmpty { words.append("[options]") }
    return words.joined(separator: " ")
  }

  var help: String {
    let rows = options.map { option in
      (([option.name] + option.aliases).joined(separator: ", ") + (option.value.map { " \($0)" } ?? ""), option.help)
    }
    let width = rows.map(\.0.count).max() ?? 0
    var lines = [usage, "", summary]
    if !rows.isEmpty { lines += [""] + rows.map { "  \($0.0.padding(to: width))  \($0.1)" } }
    if !discussion.isEmpty { lines += ["", discussion] }
    return lines.joined(separator: "\n")
  }
}

func suggestion(_ word: String, among words: [String]) -> String {
  nearest(word, among: words).map { ": did you mean ‘\($0)’?" } ?? ""
}
