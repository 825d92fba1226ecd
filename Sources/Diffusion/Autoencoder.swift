// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// Pictures <-> latents, a quarter of the size in each direction (twin of `Encoder` and `Decoder` in
// Sources/Training/model.py). No normalisation over the picture: what a latent pixel holds depends only on the pixels
// near it. RGB is -1 ... 1.

import Tensors

/// `[H, W, C]` -> `[H, W, C]`: x + conv(silu(conv(silu(x)))).
struct Block: Sendable {
  let conv1: Conv2d
  let conv2: Conv2d

  init(_ w: Weights, _ name: String, _ channels: Int) {
    conv1 = Conv2d(w, "\(name).conv1", channels, channels)
    conv2 = Conv2d(w, "\(name).conv2", channels, channels)
  }

  func callAsFunction(_ x: Tensor) -> Tensor { x + conv2(conv1(silu(x), activation: .silu)) }
}

/// RGB `[H, W, 3]` -> latent `[H/4, W/4, 4]` of mean 0 and deviation 1 over the training set.
public struct Encoder: Sendable {
  let maskTop: Int
  let input: Conv2d
  let block1: Block
  let down1: Conv2d
  let block2: Block
  let down2: Conv2d
  let block3: Block
  let block4: Block
  let output: Conv2d
  let mean: Tensor
  let deviation: Tensor

  public init(_ w: Weights, _ name: String, _ config: Configuration) {
    let (a, b, c) = (config.autoencoderChannels[0], config.autoencoderChannels[1], config.autoencoderChannels[2])
    maskTop = config.maskTop
    input = Conv2d(w, "\(name).input", 3, a)
    block1 = Block(w, "\(name).block1", a)
    down1 = Conv2d(w, "\(name).down1", a, b, stride: 2)
    block2 = Block(w, "\(name).block2", b)
    down2 = Conv2d(w, "\(name).down2", b, c, stride: 2)
    block3 = Block(w, "\(name).block3", c)
    block4 = Block(w, "\(name).block4", c)
    output = Conv2d(w, "\(name).output", c, config.latentChannels)
    mean = w.take("\(name).mean", [config.latentChannels])
    deviation = w.take("\(name).deviation", [config.latentChannels])
  }

  public func callAsFunction(_ image: Tensor) -> Tensor {
    var x = block1(input(image))
    x = block2(down1(x))
    x = block4(block3(down2(x)))
    var z = output(silu(x))
    let channels = mean.values.count
    for i in z.values.indices {
      z.values[i] = (z.values[i] - mean.values[i % channels]) / deviation.values[i % channels]
    }
    return z
  }

  /// What the model may see of a window `[H, W, 3]`: the latent `[H/4, W/4, 4]` and the mask `[H/4, W/4, 1]`
  /// (1 = seen). Only the strip above `maskTop` is encoded, so nothing below it can leak; the rest is 0.
  public func masked(_ image: Tensor) -> (latent: Tensor, mask: Tensor) {
    let (h, w) = (image.shape[0], image.shape[1])
    let strip = Tensor([maskTop, w, 3], Array(image.values[..<(maskTop * w * 3)]))
    return (self(strip).extended(toRows: h / 4), Tensor(ones: [maskTop / 4, w / 4, 1]).extended(toRows: h / 4))
  }
}

/// Latent `[h, w, 4]` -> RGB `[4h, 4w, 3]`, not clamped.
public struct Decoder: Sendable {
  let mean: Tensor
  let deviation: Tensor
  let input: Conv2d
  let block1: Block
  let block2: Block
  let block3: Block
  let up1: Conv2d
  let block4: Block
  let block5: Block
  let up2: Conv2d
  let block6: Block
  let block7: Block
  let output: Conv2d

  public init(_ w: Weights, _ name: String, _ config: Configuration) {
    let (a, b, c) = (config.autoencoderChannels[0], config.autoencoderChannels[1], config.autoencoderChannels[2])
    mean = w.take("\(name).mean", [config.latentChannels])
    deviation = w.take("\(name).deviation", [config.latentChannels])
    input = Conv2d(w, "\(name).input", config.latentChannels, c)
    block1 = Block(w, "\(name).block1", c)
    block2 = Block(w, "\(name).block2", c)
    block3 = Block(w, "\(name).block3", c)
    up1 = Conv2d(w, "\(name).up1", c, b)
    block4 = Block(w, "\(name).block4", b)
    block5 = Block(w, "\(name).block5", b)
    up2 = Conv2d(w, "\(name).up2", b, a)
    block6 = Block(w, "\(name).block6", a)
    block7 = Block(w, "\(name).block7", a)
    output = Conv2d(w, "\(name).output", a, 3)
  }

  public func callAsFunction(_ latent: Tensor) -> Tensor {
    var z = latent
    let channels = mean.values.count
    for i in z.values.indices { z.values[i] = z.values[i] * deviation.values[i % channels] + mean.values[i % channels] }
    var x = input(z)
    x = block3(block2(block1(x)))
    x = upsample2(up1(x))
    x = block5(block4(x))
    x = upsample2(up2(x))
    x = block7(block6(x))
    return output(silu(x))
  }
}

extension Tensor {
  fileprivate init(ones shape: [Int]) { self.init(shape, [Float](repeating: 1, count: shape.reduce(1, *))) }

  /// Zeros below a picture `[h, W, C]` make it `[rows, W, C]`.
  fileprivate func extended(toRows rows: Int) -> Tensor {
    let missing = (rows - shape[0]) * shape[1] * shape[2]
    return Tensor([rows, shape[1], shape[2]], values + [Float](repeating: 0, count: missing))
  }
}
