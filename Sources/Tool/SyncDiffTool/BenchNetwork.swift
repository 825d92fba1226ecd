// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The networks as called by `syncdiff bench`: the only place that knows their Swift interfaces.

import Diffusion
import Glibc
import Speech
import SyncDiff
import Tensors

/// The denoiser's U-Net with all its inputs.
struct BenchNetwork {
  let denoiser: Denoiser
  let x: Tensor  // [20, 20, 14]
  let t: Float
  let tokens: Tensor  // [14, 192]
  let prior: Tensor  // [1, 6]

  /// Inputs from a safetensors file, or noise.
  init(_ model: Model, inputs path: String?) throws {
    let config = model.configuration
    denoiser = model.denoiser
    let shapes = [
      ("x", [config.latentSide, config.latentSide, 3 * config.latentChannels + 2]), ("t", [1]),
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

  /// The network's output F for the inputs, `[20, 20, 4]`.
  func output() -> Tensor {
    let unet = denoiser.unet
    return unet(x, step: 0, unet.prepare(tokens: tokens, prior: prior, times: unet.embedded([t])))
  }

  /// The code that one measure times; `.step` is one step, with `steps` = 1.
  func runner(_ measure: BenchDenoiser.Measure, steps: Int) -> () -> Void {
    let side = x.shape[0]
    let channels = (x.shape[2] - 2) / 3
    func part(_ first: Int, _ count: Int) -> Tensor {
      let width = x.shape[2]
      return Tensor(
        [side, side, count], (0..<side * side * count).map { x.values[$0 / count * width + first + $0 % count] })
    }
    let (noisy, masked) = (part(0, channels), part(channels, channels))
    let (lips, identity) = (part(2 * channels, 2), part(2 * channels + 2, channels))
    let schedule = Schedule(steps: steps, of: denoiser)
    func prepared() -> Denoiser.Conditioning {
      denoiser.prepare(
        masked: masked, lips: lips, identity: identity,
        denoiser.context(tokens: tokens, prior: prior, schedule: schedule), schedule: schedule)
    }
    switch measure {
    case .network:
      return { _ = output() }
    case .step:
      let frame = prepared()
      return { for _ in Sampler(denoiser, frame, noise: noisy) {} }
    case .frame:
      return { for _ in Sampler(denoiser, prepared(), noise: noisy) {} }
    }
  }
}

/// Writes f32 tensors to a safetensors file.
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

/// The computation of a layer.
enum Work: Hashable {
  case convolution(height: Int, width: Int, inputs: Int, outputs: Int, kernel: Int, stride: Int)
  case linear(rows: Int, inputs: Int, outputs: Int)
  case attention(queries: Int, keys: Int, channels: Int, heads: Int)
  case groupNorm(height: Int, width: Int, channels: Int)
  case layerNorm(rows: Int, width: Int)

  var kind: String {
    switch self {
    case .convolution: "convolution"
    case .linear: "linear"
    case .attention: "attention"
    case .groupNorm: "group norm"
    case .layerNorm: "layer norm"
    }
  }

  var shape: String {
    switch self {
    case .convolution(let h, let w, let cin, let cout, let kernel, let stride):
      "\(h) x \(w), \(cin) -> \(cout), \(kernel)/\(stride)"
    case .linear(let rows, let cin, let cout): "\(rows), \(cin) -> \(cout)"
    case .attention(let queries, let keys, let channels, let heads): "\(queries) x \(keys), \(channels), \(heads)"
    case .groupNorm(let h, let w, let channels): "\(h) x \(w), \(channels)"
    case .layerNorm(let rows, let width): "\(rows), \(width)"
    }
  }

  /// Multiplications and additions, in 10^9.
  var gflop: Double {
    let operations =
      switch self {
      case .convolution(let h, let w, let cin, let cout, let kernel, let stride):
        2 * ((h + stride - 1) / stride) * ((w + stride - 1) / stride) * cin * cout * kernel * kernel
      case .linear(let rows, let cin, let cout): 2 * rows * cin * cout
      case .attention(let queries, let keys, let channels, _): 4 * queries * keys * channels
      case .groupNorm, .layerNorm: 0
      }
    return Double(operations) / 1e9
  }
}

/// Layers of one shape in one network.
struct BenchLayer {
  let network: String
  let work: Work
  /// How many layers have this shape.
  var count: Int
  /// The methods to compute a convolution, the network's own first; a single nil for other layers.
  let methods: [Conv2d.Method?]
  /// Returns the code that runs one of the methods on noise.
  let runner: (Conv2d.Method?) -> () -> Void

  /// Every shape in a model file, ordered by layer name.
  static func all(_ model: Model, file path: String, _ precision: NumberFormat) throws -> [BenchLayer] {
    let tensors = try tensors(of: path)
    let weights = Weights(tensors, precision: precision == .bf16 ? .bf16 : .f32)
    var layers: [BenchLayer] = []
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      for work in work(of: name, tensor.shape, model.configuration) {
        let network = String(name.prefix { $0 != "." })
        if let same = layers.firstIndex(where: { $0.network == network && $0.work == work }) {
          layers[same].count += 1
        } else {
          layers.append(
            BenchLayer(
              network: network, work: work, count: 1, methods: methods(work, weights.precision),
              runner: { runner(work, name, weights, $0, model.configuration.groups) }))
        }
      }
    }
    return layers
  }

  /// Multiplications and additions of one pass through the whole denoiser, in 10^9.
  static func gflopOfDenoiser(_ config: Configuration, file path: String) throws -> Double {
    let works = try tensors(of: path).filter { $0.key.hasPrefix("denoiser") }.flatMap { work(of: $0, $1.shape, config) }
    return works.reduce(0) { $0 + $1.gflop }
  }

  private static func tensors(of path: String) throws -> [String: Tensor] {
    do {
      return try SafeTensors.load(path: path).tensors
    } catch {
      throw Failure(error.description)
    }
  }

  /// The computation of the layer with this weight, and the attention whose queries it produces; empty for other tensors and
  /// for the face detection networks.
  private static func work(of weight: String, _ shape: [Int], _ config: Configuration) -> [Work] {
    guard weight.hasSuffix(".weight") else { return [] }
    let name = weight.dropLast(".weight".count)
    let (side, tokens) = (config.latentSide, config.tokens)
    /// Input size of the layers by prefix; the first match counts.
    let places: [(prefix: String, height: Int, width: Int)] = [
      ("encoder.input", 4 * side, 4 * side), ("encoder.block1", 4 * side, 4 * side),
      ("encoder.down1", 4 * side, 4 * side), ("encoder.block2", 2 * side, 2 * side),
      ("encoder.down2", 2 * side, 2 * side), ("encoder", side, side),
      ("decoder.block4", 2 * side, 2 * side), ("decoder.block5", 2 * side, 2 * side),
      ("decoder.up2", 2 * side, 2 * side), ("decoder.block6", 4 * side, 4 * side),
      ("decoder.block7", 4 * side, 4 * side), ("decoder.output", 4 * side, 4 * side), ("decoder", side, side),
      ("bottleneck.conv2", side / 2, side / 2), ("bottleneck", side, side),
      ("denoiser.unet.down2", side / 2, side / 2), ("denoiser.unet.mid", side / 4, side / 4),
      ("denoiser.unet.up2_", side / 2, side / 2), ("denoiser.unet.up2", side / 4, side / 4),
      ("denoiser.unet.up1_", side, side), ("denoiser.unet.up1", side / 2, side / 2), ("denoiser", side, side),
      ("audio_encoder.front", 1, 2), ("audio_encoder", 1, tokens), ("lips", 1, 1),
    ]
    guard let place = places.first(where: { name.hasPrefix($0.prefix) }) else { return [] }
    let (pixels, part) = (place.height * place.width, name.split(separator: ".").last ?? "")
    let halving = [
      "encoder.down1", "encoder.down2", "denoiser.unet.down1", "denoiser.unet.down2", "bottleneck.conv1",
      "bottleneck.conv2",
    ]
    switch shape.count {
    case 4:
      return [
        .convolution(
          height: place.height, width: place.width, inputs: shape[1], outputs: shape[0], kernel: shape[2],
          stride: halving.contains(String(name)) ? 2 : 1)
      ]
    case 2:
      switch part {
      case "key", "value": return [.linear(rows: tokens, inputs: shape[1], outputs: shape[0])]
      case "qkv" where name.hasPrefix("audio_encoder.front"):
        return [.linear(rows: pixels, inputs: shape[1], outputs: shape[0])]
      case "query", "qkv":
        let head = config.avHuBERT > 0 && name.hasPrefix("audio_encoder") ? AVHuBERT.head : config.head
        return [
          .linear(rows: pixels, inputs: shape[1], outputs: shape[0]),
          .attention(
            queries: pixels, keys: part == "query" ? tokens : pixels, channels: shape[1],
            heads: shape[1] / head),
        ]
      default:
        let rows = name.contains("_attn") || name.contains("_self") || name.hasPrefix("audio_encoder") ? pixels : 1
        return [.linear(rows: rows, inputs: shape[1], outputs: shape[0])]
      }
    case 3: return []  // a convolution over time, not over an image
    default:
      let isGroup = name.contains("_res") || name == "denoiser.unet.norm"
      return [
        isGroup
          ? .groupNorm(height: place.height, width: place.width, channels: shape[0])
          : .layerNorm(rows: pixels, width: shape[0])
      ]
    }
  }

  private static func methods(_ work: Work, _ precision: Weights.Precision) -> [Conv2d.Method?] {
    guard case .convolution(let height, let width, let inputs, let outputs, let kernel, let stride) = work else {
      return [nil]
    }
    let own = Conv2d.method(
      inputs, outputs, kernel: kernel, stride: stride, size: height * width, precision: precision)
    let possible = Conv2d.Method.allCases.filter { method in
      switch method {
      case .direct: true
      case .pairs: kernels.hasPairs
      case .f2, .f4: kernel == 3 && stride == 1
      case .tiles, .split: instructions.hasTiles
      }
    }
    return [own] + possible.filter { $0 != own }
  }

  /// The layer with its own weights; a convolution by `method`.
  private static func runner(
    _ work: Work, _ weight: String, _ weights: Weights, _ method: Conv2d.Method?, _ groups: Int
  ) -> () -> Void {
    let name = String(weight.dropLast(".weight".count))
    var generator = GaussianNoise(seed: 0)
    func noise(_ shape: Int...) -> Tensor { Tensor(shape, generator.fill(shape.reduce(1, *))) }
    switch work {
    case .convolution(let height, let width, let inputs, let outputs, let kernel, let stride):
      let (pad, isTiled) = (kernel / 2, method == .tiles || method == .split)
      let multiple = isTiled && width / stride % 4 == 0 ? 4 : 1
      let group = Conv2d.group(inputs, outputs, kernel: kernel, stride: stride, multiple: multiple)
      let layer = Conv2d(
        weight: weights.take(weight, [outputs, inputs, kernel, kernel]), bias: weights.take("\(name).bias", [outputs]),
        stride: stride, padding: (pad, pad, pad, pad), method: method ?? .direct, group: group,
        on: weights.instructions)
      let x = noise(height, width, inputs)
      return { _ = layer(x) }
    case .linear(let rows, let inputs, let outputs):
      let (layer, x) = (Linear(weights, name, inputs, outputs, rows: rows), noise(rows, inputs))
      return { _ = layer(x) }
    case .attention(let queries, let keys, let channels, let heads):
      let (q, k, v) = (noise(queries, channels), noise(keys, channels), noise(keys, channels))
      return { _ = attention(q: q, k: k, v: v, heads: heads) }
    case .groupNorm(let height, let width, let channels):
      let (layer, x) = (GroupNorm(weights, name, channels, groups: groups), noise(height, width, channels))
      return { _ = layer(x) }
    case .layerNorm(let rows, let width):
      let (layer, x) = (LayerNorm(weights, name, width), noise(rows, width))
      return { _ = layer(x) }
    }
  }
}
