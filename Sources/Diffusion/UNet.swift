// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The U-Net (Ronneberger et al. 2015, in the form of Ho et al. 2020), leaves before root, in the order of the same
// section of Sources/Training/networks/unet.py. Images are [H, W, C]; E is the width of the conditioning vector, T the
// number of audio tokens. Whatever depends only on the audio, the previous frame and the step times is computed once
// per frame (`prepare`), not once per step.

import Glibc
import Tensors

/// Twice GroupNorm, SiLU and convolution, with a residual connection: `[H, W, Cin]` -> `[H, W, Cout]`. The conditioning
/// vector `[E]` of the step scales and shifts the second norm.
package struct ResBlock: Sendable {
  let norm1: GroupNorm
  let conv1: Conv2d
  package let condition: Linear
  let norm2: GroupNorm
  let conv2: Conv2d
  let skip: Conv2d?

  /// `size`: the number of pixels of its images.
  package init(_ w: Weights, _ name: String, _ cin: Int, _ cout: Int, size: Int, _ config: Configuration) {
    norm1 = GroupNorm(w, "\(name).norm1", cin, groups: config.groups)
    conv1 = Conv2d(w, "\(name).conv1", cin, cout, size: size)
    condition = Linear(w, "\(name).condition", config.embedding, 2 * cout, rows: config.steps)
    norm2 = GroupNorm(w, "\(name).norm2", cout, groups: config.groups)
    conv2 = Conv2d(w, "\(name).conv2", cout, cout, size: size)
    skip = cin == cout ? nil : Conv2d(w, "\(name).skip", cin, cout, kernel: 1, size: size)
  }

  /// `modulation`: `[steps, 2 Cout]`, the output of `condition` for the conditioning vectors of all steps.
  package func callAsFunction(_ x: Tensor, _ modulation: Tensor, step: Int) -> Tensor {
    let h = conv1(x, norm: norm1(x), before: .silu)
    return conv2(h, norm: norm2(h, modulation: modulation, row: step), before: .silu, adding: skip?(x) ?? x)
  }
}

/// Cross-attention from every position of an image to the audio tokens.
package struct CrossAttention: Sendable {
  /// The keys and values of the tokens, `[T, C]` each.
  package typealias Memory = (keys: Tensor, values: Tensor)

  let heads: Int
  let norm: LayerNorm
  let query: Linear
  let key: Linear
  let value: Linear
  let out: Linear

  /// `size`: the number of pixels of its images.
  package init(_ w: Weights, _ name: String, _ channels: Int, size: Int, _ config: Configuration) {
    heads = channels / config.head
    norm = LayerNorm(w, "\(name).norm", channels)
    query = Linear(w, "\(name).query", channels, channels, rows: size)
    key = Linear(w, "\(name).key", config.audioWidth, channels, rows: config.tokens)
    value = Linear(w, "\(name).value", config.audioWidth, channels, rows: config.tokens)
    out = Linear(w, "\(name).out", channels, channels, rows: size)
  }

  /// The keys and values of one frame's tokens `[T, audioWidth]`.
  package func memory(_ tokens: Tensor) -> Memory { (key(tokens), value(tokens)) }

  package func callAsFunction(_ x: Tensor, _ memory: Memory) -> Tensor {
    let q = query(norm(x.tokens))
    let attended = attention(q: q, k: memory.keys, v: memory.values, heads: heads)
    return out(attended, adding: x).asPicture(like: x)
  }
}

/// Self-attention among the positions of an image.
package struct SelfAttention: Sendable {
  let heads: Int
  let norm: LayerNorm
  let qkv: Linear
  let out: Linear

  /// `size`: the number of pixels of its images.
  package init(_ w: Weights, _ name: String, _ channels: Int, size: Int, _ config: Configuration) {
    heads = channels / config.head
    norm = LayerNorm(w, "\(name).norm", channels)
    qkv = Linear(w, "\(name).qkv", channels, 3 * channels, rows: size)
    out = Linear(w, "\(name).out", channels, channels, rows: size)
  }

  package func callAsFunction(_ x: Tensor) -> Tensor {
    out(attention(qkv: qkv(norm(x.tokens)), heads: heads), adding: x).asPicture(like: x)
  }
}

/// Sinusoidal embedding of 1000 t, cosines first (Ho et al. 2020, Vaswani et al. 2017): each t in 0 ... 1 gives a row
/// of `[T, width]`.
package func timestepEmbedding(_ times: [Float], _ width: Int) -> Tensor {
  let half = width / 2
  let rows = times.flatMap { t in
    let angles = (0..<half).map { 1000 * t * expf(-logf(10_000) * Float($0) / Float(half)) }
    return angles.map(cosf) + angles.map(sinf)
  }
  return Tensor([times.count, width], rows)
}

/// The network F of `Denoiser`.
package struct UNet: Sendable {
  let embedding: Int
  let time1, time2: Linear
  let audio: Linear
  let prior: Linear
  let noPrior: Tensor
  let input: Conv2d
  let down1Res1, down1Res2: ResBlock
  let down1: Conv2d
  let down2Res1, down2Res2: ResBlock
  let down2Attn1, down2Attn2: CrossAttention
  let down2: Conv2d
  let midRes1, midRes2, midRes3, midRes4: ResBlock
  let midAttn1, midAttn2: CrossAttention
  let midSelf: SelfAttention
  let up2: Conv2d
  let up2Res1, up2Res2: ResBlock
  let up2Attn1, up2Attn2: CrossAttention
  let up1: Conv2d
  let up1Res1, up1Res2: ResBlock
  let norm: GroupNorm
  let output: Conv2d

  package init(_ w: Weights, _ name: String, _ config: Configuration) {
    let (e, z) = (config.embedding, config.latentChannels)
    let (a, b, c) = (config.unetChannels[0], config.unetChannels[1], config.unetChannels[2])
    let size = config.latentSide * config.latentSide  // pixels; the lower levels have 1/4 and 1/16
    func res(_ part: String, _ cin: Int, _ cout: Int, _ size: Int) -> ResBlock {
      ResBlock(w, "\(name).\(part)", cin, cout, size: size, config)
    }
    func attn(_ part: String, _ channels: Int, _ size: Int) -> CrossAttention {
      CrossAttention(w, "\(name).\(part)", channels, size: size, config)
    }
    embedding = e
    time1 = Linear(w, "\(name).time1", e / 2, e, rows: config.steps)
    time2 = Linear(w, "\(name).time2", e, e, rows: config.steps)
    audio = Linear(w, "\(name).audio", config.tokens * config.audioWidth, e, rows: 1)
    prior = Linear(w, "\(name).prior", config.prior, e, rows: 1)
    noPrior = w.take("\(name).no_prior", [e])
    input = Conv2d(w, "\(name).input", 3 * z + 2, a, size: size)
    (down1Res1, down1Res2) = (res("down1_res1", a, a, size), res("down1_res2", a, a, size))
    down1 = Conv2d(w, "\(name).down1", a, a, stride: 2, size: size)
    (down2Res1, down2Attn1) = (res("down2_res1", a, b, size / 4), attn("down2_attn1", b, size / 4))
    (down2Res2, down2Attn2) = (res("down2_res2", b, b, size / 4), attn("down2_attn2", b, size / 4))
    down2 = Conv2d(w, "\(name).down2", b, b, stride: 2, size: size / 4)
    (midRes1, midAttn1) = (res("mid_res1", b, c, size / 16), attn("mid_attn1", c, size / 16))
    midRes2 = res("mid_res2", c, c, size / 16)
    midSelf = SelfAttention(w, "\(name).mid_self", c, size: size / 16, config)
    (midRes3, midAttn2) = (res("mid_res3", c, c, size / 16), attn("mid_attn2", c, size / 16))
    midRes4 = res("mid_res4", c, c, size / 16)
    up2 = Conv2d(w, "\(name).up2", c, b, size: size / 16)
    (up2Res1, up2Attn1) = (res("up2_res1", 2 * b, b, size / 4), attn("up2_attn1", b, size / 4))
    (up2Res2, up2Attn2) = (res("up2_res2", b, b, size / 4), attn("up2_attn2", b, size / 4))
    up1 = Conv2d(w, "\(name).up1", b, a, size: size / 4)
    (up1Res1, up1Res2) = (res("up1_res1", 2 * a, a, size), res("up1_res2", a, a, size))
    norm = GroupNorm(w, "\(name).norm", a, groups: config.groups)
    output = Conv2d(w, "\(name).output", a, z, size: size, multiple: 4)
  }

  private var blocks: [ResBlock] {
    [
      down1Res1, down1Res2, down2Res1, down2Res2, midRes1, midRes2, midRes3, midRes4, up2Res1, up2Res2, up1Res1,
      up1Res2,
    ]
  }

  /// What stays the same over the steps of one frame.
  package struct Context: Sendable {
    let modulations: [Tensor]  // one for each of `blocks`, [steps, 2 Cout]
    let down2Attn1, down2Attn2, midAttn1, midAttn2, up2Attn1, up2Attn2: CrossAttention.Memory
  }

  /// `tokens`: `[T, C]` from the audio encoder. `values`: `[1, 6]` from the bottleneck; nil without a previous frame,
  /// which selects the learned null token. `times`: all steps' time embeddings, from `embedded`.
  package func prepare(tokens: Tensor, prior values: Tensor?, times: Tensor) -> Context {
    let pose = values.map { prior($0) } ?? noPrior
    let condition = audio(tokens.reshaped([1, tokens.values.count])) + pose
    let e = silu(times.map { $1 + condition.values[$0 % embedding] })
    return Context(
      modulations: blocks.map { $0.condition(e) },
      down2Attn1: down2Attn1.memory(tokens), down2Attn2: down2Attn2.memory(tokens),
      midAttn1: midAttn1.memory(tokens), midAttn2: midAttn2.memory(tokens),
      up2Attn1: up2Attn1.memory(tokens), up2Attn2: up2Attn2.memory(tokens))
  }

  /// The time embeddings `[steps, E]` of times in 0 ... 1.
  package func embedded(_ times: [Float]) -> Tensor {
    time2(time1(timestepEmbedding(times, embedding / 2), activation: .silu))
  }

  /// F `[20, 20, 4]` at x `[20, 20, 4 + 4 + 2 + 4]`, the channels being noisy latent, masked latent, lips and identity
  /// latent, at the time of `step`.
  package func callAsFunction(_ x: Tensor, step: Int, _ context: Context) -> Tensor {
    let m = context.modulations
    var x1 = input(x)
    x1 = down1Res1(x1, m[0], step: step)
    x1 = down1Res2(x1, m[1], step: step)
    var x2 = down1(x1)
    x2 = down2Attn1(down2Res1(x2, m[2], step: step), context.down2Attn1)
    x2 = down2Attn2(down2Res2(x2, m[3], step: step), context.down2Attn2)
    var x3 = down2(x2)
    x3 = midAttn1(midRes1(x3, m[4], step: step), context.midAttn1)
    x3 = midSelf(midRes2(x3, m[5], step: step))
    x3 = midAttn2(midRes3(x3, m[6], step: step), context.midAttn2)
    x3 = midRes4(x3, m[7], step: step)
    var y2 = upsample2(up2(x3), beside: x2)
    y2 = up2Attn1(up2Res1(y2, m[8], step: step), context.up2Attn1)
    y2 = up2Attn2(up2Res2(y2, m[9], step: step), context.up2Attn2)
    var y1 = upsample2(up1(y2), beside: x1)
    y1 = up1Res1(y1, m[10], step: step)
    y1 = up1Res2(y1, m[11], step: step)
    return output(y1, norm: norm(y1), before: .silu)
  }
}
