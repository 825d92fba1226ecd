// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The networks as `syncdiff bench` calls them: the one place that knows their Swift interfaces.

import Diffusion
import Glibc
import SyncDiff
import Tensors

/// The denoiser's U-Net with everything it is given.
struct BenchNetwork {
  let denoiser: Denoiser
  let x: Tensor  // [24, 24, 13]
  let t: Float
  let tokens: Tensor  // [14, 192]
  let prior: Tensor  // [1, 6]

  /// Of a safetensors file, or noise.
  init(_ model: Model, inputs path: String?) throws {
    let config = model.configuration
    denoiser = model.denoiser
    let shapes = [
      ("x", [config.latentSide, config.latentSide, 3 * config.latentChannels + 1]), ("t", [1]),
      ("tokens", [config.tokens, config.audioWidth]), ("prior", [1, config.prior]),
    ]
    var tensors: [String: Tensor] = [:]
    if let path {
      do {
        tensors = try SafeTensors.load(path: path).tensors
      } catch {
        throw Failure("cannot use \(path): \(error.description)")
      }
      for (name, shape) in shapes {
        guard let tensor = tensors[name] else { throw Failure("\(path) has no tensor \(name) \(shape)") }
        guard tensor.shape == shape else {
          throw Failure("\(name) in \(path) is \(tensor.shape), this model needs \(shape)")
        }
      }
      if let other = tensors.keys.filter({ name in !shapes.contains { $0.0 == name } }).min() {
        throw Failure("\(path) has a tensor \(other); it holds x, t, tokens and prior")
      }
    } else {
      var noise = GaussianNoise(seed: 0)
      for (name, shape) in shapes { tensors[name] = Tensor(shape, noise.fill(shape.reduce(1, *))) }
      tensors["t"] = Tensor([1], [0.5])
    }
    guard let x = tensors["x"], let t = tensors["t"]?.values.first, let tokens = tensors["tokens"],
      let prior = tensors["prior"]
    else { preconditionFailure("the four were looked for") }
    (self.x, self.t, self.tokens, self.prior) = (x, t, tokens, prior)
  }

  /// F of the inputs, `[24, 24, 4]`.
  func output() -> Tensor {
    denoiser.unet(x, time: denoiser.unet.time(t), denoiser.unet.prepare(tokens: tokens, prior: prior))
  }

  /// What is timed for one measure.
  func runner(_ measure: BenchDenoiser.Measure, steps: Int) -> () -> Void {
    let side = x.shape[0]
    let channels = (x.shape[2] - 1) / 3
    func part(_ first: Int, _ count: Int) -> Tensor {
      let width = x.shape[2]
      return Tensor(
        [side, side, count], (0..<side * side * count).map { x.values[$0 / count * width + first + $0 % count] })
    }
    let (noisy, masked) = (part(0, channels), part(channels, channels))
    let (mask, identity) = (part(2 * channels, 1), part(2 * channels + 1, channels))
    func prepared() -> Denoiser.Frame {
      denoiser.prepare(masked: masked, mask: mask, identity: identity, tokens: tokens, prior: prior)
    }
    let schedule = Schedule(steps: max(steps, 1), of: denoiser)
    switch measure {
    case .network:
      return { _ = output() }
    case .step:
      let frame = prepared()
      return { for _ in Sampler(denoiser, frame, schedule, noise: noisy) {} }
    case .frame:
      return { for _ in Sampler(denoiser, prepared(), schedule, noise: noisy) {} }
    }
  }
}

/// Writes a safetensors file of f32 tensors.
func write(_ tensors: [String: Tensor], to path: String) throws {
  var (members, bytes): ([String: JSON], [UInt8]) = ([:], [])
  for (name, tensor) in tensors {
    let begin = bytes.count
    for value in tensor.values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
    members[name] = .object([
      "dtype": .string("F32"), "shape": .array(tensor.shape.map { .integer($0) }),
      "data_offsets": .array([.integer(begin), .integer(bytes.count)]),
    ])
  }
  let header = Array(JSON.object(members).text.utf8)
  let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
  let contents = length + header + bytes
  guard let file = fopen(path, "w") else { throw Failure("cannot write \(path): \(String(cString: strerror(errno)))") }
  let written = fwrite(contents, 1, contents.count, file)
  guard fclose(file) == 0, written == contents.count else {
    throw Failure("cannot write \(path): \(String(cString: strerror(errno)))")
  }
}
