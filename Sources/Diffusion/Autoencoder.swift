// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The autoencoder: RGB images to latents of a quarter of the width and height, and back (twin of `Encoder` and
// `Decoder` in Sources/Training/networks/autoencoder.py). It has no normalisation across the image, so a latent pixel depends
// only on the pixels near it. RGB is -1 ... 1.

import Tensors

/// `[H, W, C]` -> `[H, W, C]`: x + conv(silu(conv(silu(x)))).
struct Block: Sendable {
  let conv1: Conv2d
  let conv2: Conv2d

  init(_ w: Weights, _ name: String, _ channels: Int, size: Int, multiple: Int = 1) {
    conv1 = Conv2d(w, "\(name).conv1", channels, channels, size: size, multiple: multiple)
    conv2 = Conv2d(w, "\(name).conv2", channels, channels, size: size, multiple: multiple)
  }

  func callAsFunction(_ x: Tensor) -> Tensor { conv2(conv1(x, before: .silu, activation: .silu), adding: x) }
}

/// RGB `[H, W, 3]` -> latent `[H/4, W/4, 4]`, normalised to mean 0 and standard deviation 1 over the training set.
public struct Encoder: Sendable {
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
    let size = config.window * config.window  // pixels
    input = Conv2d(w, "\(name).input", 3, a, size: size, multiple: 4)
    block1 = Block(w, "\(name).block1", a, size: size, multiple: 4)
    down1 = Conv2d(w, "\(name).down1", a, b, stride: 2, size: size)
    block2 = Block(w, "\(name).block2", b, size: size / 4)
    down2 = Conv2d(w, "\(name).down2", b, c, stride: 2, size: size / 4)
    block3 = Block(w, "\(name).block3", c, size: size / 16)
    block4 = Block(w, "\(name).block4", c, size: size / 16)
    output = Conv2d(w, "\(name).output", c, config.latentChannels, size: size / 16, multiple: 4)
    mean = w.take("\(name).mean", [config.latentChannels])
    deviation = w.take("\(name).deviation", [config.latentChannels])
  }

  public func callAsFunction(_ image: Tensor) -> Tensor {
    var x = block1(input(image))
    x = block2(down1(x))
    x = block4(block3(down2(x)))
    let channels = mean.values.count
    return output(x, before: .silu).map { ($1 - mean.values[$0 % channels]) / deviation.values[$0 % channels] }
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
    let size = config.latentSide * config.latentSide  // pixels
    mean = w.take("\(name).mean", [config.latentChannels])
    deviation = w.take("\(name).deviation", [config.latentChannels])
    input = Conv2d(w, "\(name).input", config.latentChannels, c, size: size)
    block1 = Block(w, "\(name).block1", c, size: size)
    block2 = Block(w, "\(name).block2", c, size: size)
    block3 = Block(w, "\(name).block3", c, size: size)
    up1 = Conv2d(w, "\(name).up1", c, b, size: size)
    block4 = Block(w, "\(name).block4", b, size: 4 * size)
    block5 = Block(w, "\(name).block5", b, size: 4 * size)
    up2 = Conv2d(w, "\(name).up2", b, a, size: 4 * size, multiple: 2)
    block6 = Block(w, "\(name).block6", a, size: 16 * size, multiple: 4)
    block7 = Block(w, "\(name).block7", a, size: 16 * size, multiple: 4)
    output = Conv2d(w, "\(name).output", a, 3, size: 16 * size, multiple: 4)
  }

  public func callAsFunction(_ latent: Tensor) -> Tensor {
    let channels = mean.values.count
    var x = input(latent.map { $1 * deviation.values[$0 % channels] + mean.values[$0 % channels] })
    x = block3(block2(block1(x)))
    x = upsample2(up1(x))
    x = block5(block4(x))
    x = upsample2(up2(x))
    x = block7(block6(x))
    return output(x, before: .silu)
  }
}
