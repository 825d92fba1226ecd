// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// `syncdiff bench denoiser`: the U-Net alone, on random or given inputs, so that other programs can time the same network on
// the same inputs.

import ArgumentParser
import Diffusion
import SyncDiff
import Tensors

struct BenchDenoiser: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "denoiser", abstract: "Times the denoiser.",
    discussion: """
      Measures:
        network  all from x, t, tokens and prior to f, as the exported network computes it
        step     one denoising step of a frame whose sound is prepared
        frame    the sound prepared, then all steps of --steps

      INPUTS is a safetensors file with f32 tensors: x [20, 20, 14] (rows, columns, channels: 4 noisy latent, 4 \
      masked, 2 lips, 4 identity), t [1] in 0 to 1, tokens [14, 192] of the audio encoder, prior [1, 6] of the \
      bottleneck. These are the sizes of the model that came with syncdiff; another model has its own. Without a file: \
      normal noise, t = 0.5.
      OUTPUTS gets one f32 tensor f [20, 20, 4]: what the network made of them.

      JSON: {"bench": "denoiser", "processor", "cores", "isa", "bf16", "results": [{"measure": "network", "precision", \
      "threads", "steps" (of "frame" only), "gflop" (of "network" only), "median_ms", "p95_ms", "min_ms", "ms": [each \
      round in order]}]}.
      """)

  @OptionGroup var options: BenchOptions

  @Option(parsing: .upToNextOption, help: "What to time: network, step, frame.")
  var measure = Measure.allCases

  @OptionGroup var steps: StepsOption

  @Option(help: ArgumentHelp("File with x, t, tokens and prior.", valueName: "inputs.safetensors"), completion: .file())
  var inputs: String?

  @Option(help: ArgumentHelp("Output file for f.", valueName: "outputs.safetensors"), completion: .file())
  var outputs: String?

  enum Measure: String, ExpressibleByArgument, CaseIterable { case network, step, frame }

  func validate() throws {
    guard outputs == nil || options.precision.count == 1 else {
      throw ValidationError("--outputs holds the numbers of one --precision.")
    }
  }

  func run() throws {
    var trials: [Trial] = []
    for precision in options.precision {
      let model = try options.load(precision)
      let network = try BenchNetwork(model, inputs: inputs)
      let gflop = try BenchLayer.gflopOfDenoiser(model.configuration, file: options.path)
      if let outputs { try write(["f": network.output()], to: outputs) }
      for threads in options.threadCounts {
        for measure in measure {
          for steps in measure == .frame ? steps.counts(model) : [1] {
            var labels: [String: JSON] = [
              "measure": .string(measure.rawValue), "precision": .string(precision.rawValue),
              "threads": .integer(threads),
            ]
            if measure == .frame { labels["steps"] = .integer(steps) }
            if measure == .network { labels["gflop"] = .number(gflop) }
            let run = network.runner(measure, steps: steps)
            run()
            trials.append(
              Trial(labels) { ThreadPool.shared.limited(to: threads) { milliseconds(run) } })
          }
        }
      }
    }
    options.measure(trials)
    let results = trials.map { JSON.object($0.labels.merging($0.samples.summary(each: true)) { label, _ in label }) }
    let rows = trials.map { trial in
      trial.cells(["measure", "precision", "threads", "steps"])
        + [trial.samples.median, trial.samples.quantile(0.95), trial.samples.quantile(0)].map { fixed($0) }
        + ["\(trial.samples.count)", trial.gflop > 0 ? fixed(trial.speed, digits: 1) : ""]
    }
    let heading = ["measure", "precision", "threads", "steps", "median", "95 %", "least", "rounds", "GFLOP/s"]
    options.report("denoiser", results: results, rows: [heading] + rows, left: 2)
  }
}
