// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// All timings of this project: `syncdiff bench`. The candidates run in turn, round by round, so that other load on the
// machine affects all of them alike.

import ArgumentParser
import CTensors
import SyncDiff
import SyncDiffElement
import Tensors

struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measures the speed of the networks and of a whole frame on this machine.",
    discussion: """
      All combinations of the given values run in turn, round after round, so that other load on the machine affects all of them \
      alike. The first round does not count. Times are in milliseconds. The instruction set is the best one of the processor, \
      or the one named by the environment variable SYNCDIFF_ISA.
      """,
    subcommands: [BenchLayers.self, BenchDenoiser.self, BenchWholeFrame.self])
}

/// Options of every measurement.
struct BenchOptions: ParsableArguments {
  @Option(help: "Model file. Default: $SYNCDIFF_MODEL, then the one shipped with syncdiff.", completion: .file())
  var model: String?

  @Option(parsing: .upToNextOption, help: "Number formats of the networks: auto, f32, bf16.")
  var precision = [NumberFormat.auto]

  @Option(parsing: .upToNextOption, help: "Threads, 0 = one per core.")
  var threads: [UInt32] = [0]

  @Option(help: "Seconds to measure in total.")
  var seconds = 5.0

  @Option(help: "Rounds to measure, instead of --seconds.")
  var repeats: UInt32?

  @Flag(help: "Print JSON instead of a table.")
  var json = false

  func validate() throws {
    guard seconds > 0, seconds <= 3600 else { throw ValidationError("--seconds must be more than 0, at most 3600.") }
    guard repeats.map({ (1...1_000_000).contains($0) }) ?? true else {
      throw ValidationError("--repeats must be 1 to 1000000.")
    }
    guard threads.allSatisfy({ $0 <= 256 }) else { throw ValidationError("--threads must be 0 to 256.") }
  }

  /// The thread counts, with 0 replaced by the number it stands for.
  var threadCounts: [Int] {
    threads.map { $0 == 0 ? ThreadPool.shared.processors : Int($0) }
  }

  var path: String { model ?? defaultModel() }

  func load(_ precision: NumberFormat) throws -> Model {
    let model = try loadModel(self.model, precision: precision.format)
    if let licence = model.licence { say("Warning: \(path): \(licence)") }
    return model
  }

  /// Runs all trials in turn until the time or the rounds are used up, at least three rounds.
  func measure(_ trials: [Trial]) {
    let clock = ContinuousClock()
    let end = clock.now + .seconds(seconds)
    var round = 0
    while repeats.map({ round < $0 }) ?? (round < 3 || clock.now < end) {
      for trial in trials { trial.samples.append(trial.body()) }
      round += 1
    }
  }
}

/// Additional option of every measurement of whole frames.
struct StepsOption: ParsableArguments {
  @Option(parsing: .upToNextOption, help: "Denoising steps per frame. Default: the model's.")
  var steps: [UInt32] = []

  func validate() throws {
    guard steps.allSatisfy({ (1...1000).contains($0) }) else { throw ValidationError("--steps must be 1 to 1000.") }
  }

  func counts(_ model: Model) -> [Int] { steps.isEmpty ? [model.configuration.steps] : steps.map { Int($0) } }
}

/// Something that is timed repeatedly, after a first run to warm up.
final class Trial {
  /// What it is, keyed by the names in the JSON output.
  let labels: [String: JSON]
  /// Runs it once; returns milliseconds.
  let body: () -> Double
  var samples: [Double] = []

  init(_ labels: [String: JSON], _ body: @escaping () -> Double) {
    (self.labels, self.body) = (labels, body)
  }
}

/// Milliseconds that `body` takes.
func milliseconds(_ body: () -> Void) -> Double { ContinuousClock().measure(body) / .milliseconds(1) }

extension [Double] {
  var mean: Double { reduce(0, +) / Double(Swift.max(count, 1)) }

  /// The smallest value that a fraction `share` of all values does not exceed; 0 if there are none.
  func quantile(_ share: Double) -> Double {
    let rank = Int((share * Double(count)).rounded(.up))
    return isEmpty ? 0 : sorted()[Swift.min(Swift.max(rank - 1, 0), count - 1)]
  }

  var median: Double { quantile(0.5) }
}
