// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// `syncdiff bench layers`: one layer of every shape.

import ArgumentParser
import SyncDiff
import Tensors

struct BenchLayers: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layers", abstract: "Times the layers of the networks, each shape once.",
    discussion: """
      In the table, "layers" is how many layers of a network have the shape, "all" what they take together in one \
      pass, and the shape: rows x columns of the input (or rows of a matrix), channels in -> out, and kernel / stride; \
      of an attention, queries x keys, channels, and heads. A convolution is computed by the method direct, pairs \
      (direct, bf16 multiplied as such), f2 or f4 (Winograd's F(2x2, 3x3) and F(4x4, 3x3)), or on AMX by tiles (bf16) or \
      split (two bf16 for a float). Multiplications and \
      additions both count in GFLOP/s, as many as the direct method has; norms have none. Of a group norm only the \
      statistics are timed, since the convolution after it applies it. The encoder sees the upper part of the face \
      window, as it does in every frame but the first.

      JSON: {"bench": "layers", "processor", "cores", "isa", "bf16", "results": [{"network", "kind", "shape", "layers", \
      "method" (of a convolution), "own" (whether the network uses that method), "precision", "threads", "gflop" (of \
      one layer), "gflops" (at the median), "median_ms", "p95_ms", "min_ms"}]}.
      """)

  @OptionGroup var options: BenchOptions

  @Flag(help: "Time every convolution with every method that can compute it; the network's own comes first.")
  var allMethods = false

  func run() throws {
    var trials: [Trial] = []
    for precision in options.precision {
      let layers = try BenchLayer.all(options.load(precision), file: options.path, precision)
      for threads in options.threadCounts {
        for layer in layers {
          for method in allMethods ? layer.methods : [layer.methods[0]] {
            var labels: [String: JSON] = [
              "network": .string(layer.network), "kind": .string(layer.work.kind), "shape": .string(layer.work.shape),
              "layers": .integer(layer.count), "precision": .string(precision.rawValue), "threads": .integer(threads),
              "gflop": .number(layer.work.gflop), "own": .bool(method == layer.methods[0]),
            ]
            if let method { labels["method"] = .string(method.rawValue) }
            let run = layer.runner(method)
            run()
            trials.append(Trial(labels) { ThreadPool.shared.limited(to: threads) { milliseconds(run) } })
          }
        }
      }
    }
    options.measure(trials)
    let results = trials.map { trial in
      let figures = trial.samples.summary().merging(["gflops": .number(trial.speed)]) { $1 }
      return JSON.object(trial.labels.merging(figures) { $1 })
    }
    let labels = ["network", "kind", "shape", "method", "precision", "threads", "layers"]
    let rows = trials.map { trial in
      trial.cells(labels) + [
        fixed(trial.samples.median, digits: 3), fixed(trial.samples.quantile(0.95), digits: 3),
        fixed(trial.samples.median * trial.layers, digits: 3), trial.speed > 0 ? fixed(trial.speed, digits: 1) : "",
      ]
    }
    let totals = Dictionary(grouping: trials.filter(\.isOwn)) { $0.cells(["precision", "threads", "network"]) }
      .sorted { $0.key.lexicographicallyPrecedes($1.key) }.map { key, trials in
        let gflop = trials.reduce(0) { $0 + $1.gflop * $1.layers }
        let time = trials.reduce(0) { $0 + $1.samples.median * $1.layers }
        return [key[2], "all layers", "\(fixed(gflop, digits: 3)) GFLOP", "", key[0], key[1], "", "", ""]
          + [fixed(time, digits: 3), fixed(gflop / time * 1000, digits: 1)]
      }
    options.report(
      "layers", results: results, rows: [labels + ["median", "95 %", "all", "GFLOP/s"]] + rows + totals, left: 5)
  }
}

extension Trial {
  /// How many layers of the network it represents.
  fileprivate var layers: Double { if case .integer(let count) = labels["layers"] { Double(count) } else { 1 } }

  /// Whether this is the method that the network itself uses.
  fileprivate var isOwn: Bool { labels["own"] == .bool(true) }
}
