// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Diffusion
import Tensors
import TestSupport
import Testing

/// Every part against networks/model.py, element by element: `python -m convert.golden` in Sources/Training. Differences
/// are relative to the largest value.
@Suite struct NetworkTests {
  /// F(2x2, 3x3)'s weights are kept as halves, which costs some 3e-4.
  static let precisions: [(Weights.Precision, Float)] = [(.f32, 5e-4), (.bf16, 2e-2)]

  let config: Configuration
  let tensors: [String: Tensor]
  let parts: [String: Tensor]

  init() throws {
    let denoiser = try SafeTensors.load(path: goldenPath("denoiser.safetensors"))
    config = try Configuration(json: try #require(denoiser.metadata["config"]))
    tensors = denoiser.tensors.merging(try golden("autoencoder.safetensors")) { $1 }
    parts = try golden("parts.safetensors")
  }

  func part(_ name: String) throws -> Tensor { try #require(parts[name], "\(name)") }

  @Test func everyTensorHasAnOwner() {
    let w = Weights(tensors)
    _ = (Encoder(w, "encoder", config), Decoder(w, "decoder", config))
    _ = (Bottleneck(w, "bottleneck", config), Denoiser(w, "denoiser", config))
    #expect(w.finish() == [])
  }

  @Test(arguments: precisions) func autoencoder(precision: Weights.Precision, tolerance: Float) throws {
    let w = Weights(tensors, precision: precision)
    let (encoder, decoder) = (Encoder(w, "encoder", config), Decoder(w, "decoder", config))
    expectNear(encoder(try part("image")), parts["latent"], tolerance, "encoder \(precision)")
    expectNear(decoder(try part("x")), parts["decoded"], tolerance, "decoder \(precision)")
  }

  @Test func theLipsAndTheirSurroundingsAreHidden() throws {
    expectClose(masked(try part("identity"), lips: try part("lips")), parts["masked"], 0, "masked")
  }

  @Test(arguments: precisions) func bottleneck(precision: Weights.Precision, tolerance: Float) throws {
    let bottleneck = Bottleneck(Weights(tensors, precision: precision), "bottleneck", config)
    expectNear(bottleneck(try part("previous")), parts["prior"], tolerance, "bottleneck \(precision)")
  }

  @Test func timesAreEmbedded() throws {
    let (times, expected) = (try part("times").values, try part("timestep_embedding"))
    expectNear(timestepEmbedding(Array(times), expected.shape[1]), expected, 1e-4, "timestep embedding")
  }

  @Test(arguments: precisions) func blocks(precision: Weights.Precision, tolerance: Float) throws {
    let w = Weights(tensors, precision: precision)
    let (a, b, c) = (config.unetChannels[0], config.unetChannels[1], config.unetChannels[2])
    let e = try part("e")
    let same = ResBlock(w, "denoiser.unet.down1_res1", a, a, size: 576, config)
    expectNear(
      same(try part("x1"), same.condition(e), step: 0), parts["down1_res1"], tolerance, "residual block \(precision)")
    let wider = ResBlock(w, "denoiser.unet.down2_res1", a, b, size: 144, config)
    expectNear(
      wider(try part("x1"), wider.condition(e), step: 0), parts["down2_res1"], tolerance,
      "residual block with skip \(precision)")
    let cross = CrossAttention(w, "denoiser.unet.down2_attn1", b, config)
    let listened = cross(try part("x2"), cross.memory(try part("tokens")))
    expectNear(listened, parts["down2_attn1"], tolerance, "cross-attention \(precision)")
    let own = SelfAttention(w, "denoiser.unet.mid_self", c, config)
    expectNear(own(try part("x3")), parts["mid_self"], tolerance, "self-attention \(precision)")
  }

  @Test(arguments: precisions) func denoiser(precision: Weights.Precision, tolerance: Float) throws {
    let denoiser = Denoiser(Weights(tensors, precision: precision), "denoiser", config)
    let (x, tokens, prior) = (try part("x"), try part("tokens"), try part("prior"))
    let seen = concat(concat(concat(x, try part("masked")), try part("lips")), try part("identity"))
    let unet = denoiser.unet
    let times = unet.embedded([0.75])
    expectNear(
      unet(seen, step: 0, unet.prepare(tokens: tokens, prior: prior, times: times)), parts["unet"], tolerance,
      "U-Net \(precision)")
    expectNear(
      unet(seen, step: 0, unet.prepare(tokens: tokens, prior: nil, times: times)), parts["unet_without_prior"],
      tolerance, "U-Net without prior \(precision)")
    #expect(Schedule(steps: 4, of: denoiser).times[1] == 0.75)
    let velocity = denoiser(x, step: 1, try frame(denoiser, prior: prior, steps: 4))
    expectNear(velocity, parts["velocity"], tolerance, "velocity \(precision)")
  }

  @Test(arguments: precisions) func samples(precision: Weights.Precision, tolerance: Float) throws {
    let w = Weights(tensors, precision: precision)
    let (denoiser, bottleneck) = (Denoiser(w, "denoiser", config), Bottleneck(w, "bottleneck", config))
    let side = config.latentSide
    var generator = GaussianNoise(seed: 7)
    let noise = Tensor([side, side, config.latentChannels], generator.fill(side * side * config.latentChannels))
    expectClose(noise, parts["noise"], 1e-5, "noise")

    let prior = bottleneck(try part("previous"))
    for (name, prior, steps) in [
      ("sample", prior, 4), ("sample_without_previous", nil, 4), ("sample_3_steps", prior, 3),
    ] as [(String, Tensor?, Int)] {
      let latents = Array(Sampler(denoiser, try frame(denoiser, prior: prior, steps: steps), noise: noise))
      #expect(latents.count == steps)
      expectNear(try #require(latents.last), parts[name], tolerance, "\(name) \(precision)")
    }
  }

  func frame(_ denoiser: Denoiser, prior: Tensor?, steps: Int) throws -> Denoiser.Frame {
    denoiser.prepare(
      masked: try part("masked"), lips: try part("lips"), identity: try part("identity"), tokens: try part("tokens"),
      prior: prior, schedule: Schedule(steps: steps, of: denoiser))
  }
}
