import Dataset
import Detection
import Foundation
import Pipeline
import Platform
import Pruning
import Sweep
import Training
import Wording

/// One line on standard error that is written over on a terminal; in a pipe nothing is shown of what passes.
final class LiveLine {
  static var isTerminal: Bool { StandardStream.errors.isTerminal }
  private var isShown = false

  func show(_ text: String) {
    guard Self.isTerminal else { return }
    StandardStream.errors.write("\r\u{1b}[K\(text.oneLine)")
    isShown = true
  }

  func clear() {
    guard isShown else { return }
    StandardStream.errors.write("\r\u{1b}[K")
    isShown = false
  }
}

extension ImageCheck {
  /// For a user's command: on all processors, remembered in the user's cache folder, with progress on the line.
  static func ofUser(allowsDamaged: Bool, _ line: LiveLine) -> ImageCheck {
    ImageCheck(
      threads: Processors.available, memory: userMemory(ProcessInfo.processInfo.environment),
      allowsDamaged: allowsDamaged,
      onProgress: { done, total in line.show("checking images: \(done) of \(total)") })
  }
}

/// A training run's epochs, a line each, on standard error.
struct EpochProgress {
  var title: String

  func show(_ event: RunEvent) {
    switch event {
    case .remark(let text): printError(text.oneLine)
    case .started(let epochs, let completed):
      printError(
        completed == 0
          ? "\(title): \(counted(epochs, "epoch"))" : "\(title): goes on after epoch \(completed) of \(epochs)")
    case .epoch(let summary, let timing, let epochs):
      let loss = summary.loss
      let fading = summary.scales.flatMap { scales in
        scales.targetShare.map { "  \(fadedWords(scales.zeroShare, of: $0))" }
      }
      printError(
        """
        \(title): epoch \(summary.epoch)/\(epochs)  box \(loss.box.shown(4))  obj \(loss.objectness.shown(4))  \
        cls \(loss.classification.shown(4))  mAP50 \(summary.map50.shown(4))  mAP50-95 \(summary.map50_95.shown(4))\
        \(fading ?? "")  \(timing.imagesPerSecond.shown(1)) images/s  ETA \(timing.remainingSeconds.shownAsDuration)
        """)
    case .checkpoint: break
    }
  }
}
