import Foundation
import Wording

/// Shell completion, made from the table of commands: commands, their second words and their options. Everything else
/// is completed as the name of a file.
enum Completion {
  enum Shell: String, CaseIterable {
    case bash, zsh
  }

  static func script(for shell: Shell, _ commands: [Command]) -> String {
    switch shell {
    case .bash: bash(commands)
    case .zsh: zsh(commands)
    }
  }

  /// The words that a call may begin with, each once, and the second words of those that need one.
  private static func words(_ commands: [Command]) -> (first: [String], second: [(String, [Command])]) {
    var first: [String] = []
    for command in commands where !first.contains(command.firstWord) { first.append(command.firstWord) }
    let families = first.map { word in (word, commands.filter { $0.firstWord == word && $0.name != word }) }
    return (first + ["help"], families.filter { !$0.1.isEmpty })
  }

  private static func bash(_ commands: [Command]) -> String {
    let (first, second) = words(commands)
    let families = second.map { word, family in
      "    \(word)) words='\(family.map(\.secondWord).joined(separator: " "))' ;;"
    }
    let options = commands.map { command in
      let names = command.options.flatMap { [$0.name] + $0.aliases } + ["--help"]
      return "    '\(command.name) '*) words='\(names.joined(separator: " "))' ;;"
    }
    return """
      # Completion of greensweep for bash, as ‘greensweep completion bash’ prints it.
      _greensweep() {
        local current=${COMP_WORDS[COMP_CWORD]} words=
        case $COMP_CWORD in
        1) words='\(first.joined(separator: " ")) --help --version' ;;
        2) case ${COMP_WORDS[1]} in
      \(families.joined(separator: "\n"))
          help) words='\(first.joined(separator: " "))' ;;
          esac ;;
        esac
        if [[ -z $words && $current == -* ]]; then
          case "${COMP_WORDS[1]} ${COMP_WORDS[2]} " in
      \(options.joined(separator: "\n"))
          esac
        fi
        COMPREPLY=($(compgen -W "$words" -- "$current"))
      }
      complete -o bashdefault -o default -F _greensweep greensweep
      """
  }

  private static func zsh(_ commands: [Command]) -> String {
    let (first, second) = words(commands)
    func described(_ word: String, _ summary: String) -> String {
      "\(word):\(summary.replacingOccurrences(of: ":", with: "\\:"))".shellQuoted
    }
    let firstWords = first.map { word in
      described(word, commands.first { $0.name == word }?.summary ?? "\(word) …")
    }
    let families = second.map { word, family in
      "    \(word)) words=(\(family.map { described($0.secondWord, $0.summary) }.joined(separator: " "))) ;;"
    }
    let options = commands.map { command in
      let count = command.name.split(separator: " ").count
      let specifications = command.options.flatMap(specifications) + ["--help[tell more]".shellQuoted]
      return """
            '\(command.name) '*)
              shift \(count) words; (( CURRENT -= \(count) ))
              _arguments \(specifications.joined(separator: " ")) '*:file:_files' ;;
        """
    }
    return """
      #compdef greensweep
      # Completion of greensweep for zsh, as ‘greensweep completion zsh’ prints it.
      _greensweep() {
        local -a words_of_command
        if (( CURRENT == 2 )); then
          words_of_command=(\(firstWords.joined(separator: " ")))
          _describe command words_of_command
          return
        fi
        if (( CURRENT == 3 )); then
          case $words[2] in
      \(families.joined(separator: "\n").replacingOccurrences(of: "words=", with: "words_of_command="))
          esac
          if (( $#words_of_command )); then _describe command words_of_command; return; fi
        fi
        case "$words[2] $words[3] " in
      \(options.joined(separator: "\n"))
        esac
      }
      _greensweep "$@"
      """
  }

  /// The words for zsh's `_arguments` that describe an option, one for each of its spellings.
  private static func specifications(_ option: Option) -> [String] {
    var help = option.help
    for sign in ["\\", "[", "]", ":"] { help = help.replacingOccurrences(of: sign, with: "\\" + sign) }
    return ([option.name] + option.aliases).map { name in
      ((option.repeats ? "*" : "") + "\(name)[\(help)]" + (option.value.map { ":\($0):_files" } ?? "")).shellQuoted
    }
  }
}

extension Command {
  fileprivate var firstWord: String { String(name.prefix { $0 != " " }) }
  fileprivate var secondWord: String { String(name.drop { $0 != " " }.dropFirst()) }
}
