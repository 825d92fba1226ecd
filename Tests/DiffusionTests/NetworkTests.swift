// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Diffusion
import Tensors
import TestSupport
import Testing

/// Every part against networks/, element by element: `python -m convert.golden` in Sources/Training. Differences
/// are relative to the largest value.
@Suite struct NetworkTests {
  let config: Configuration
  let tensors: [String: Tensor]
  let parts: [String: Tensor]

  init() throws {
    let denoiser = try SafeTensors.load(path: goldenPath("denoiser.safetensors"))
    config = try Configuration(json: try #require(denoiser.metadata["config"]))
    tensors = denoiser.tensors.merging(try golden("autoencoder.safetensors")) { $1 }
    parts = try golden("parts.safetensors")
  }

  /// F(2x2, 3x3)'s weights are stored as halves, which costs about 3e-4.
  func tolerance(_ way: Way) -> Float { way.precision == .f32 ? 5e-4 : 2e-2 }

  func weights(_ way: Way) -> Weights { Weights(tensors, precision: way.precision, on: way.set) }

  func part(_ name: String) throws -> Tensor { try #require(parts[name], "\(name)") }

  @Test func everyTensorHasAnOwner() {
    let w = Weights(tensors)
    _ = (Encoder(w, "encoder", config), Decoder(w, "decoder", config))
    _ = (Bottleneck(w, "bottleneck", config), Denoiser(w, "denoiser", config))
    #expect(w.finish() == [])
  }

  @Test(arguments: Way.all) func autoencoder(_ way: Way) throws {
    let w = weights(way)
    let (encoder, decoder) = (Encoder(w, "encoder", config), Decoder(w, "decoder", config))
    expectNear(encoder(try part("image")), parts["latent"], tolerance(way), "encoder \(way.testDescription)")
    expectNear(decoder(try part("x")), parts["decoded"], tolerance(way), "decoder \(way.testDescription)")
  }

  @Test func theLipsAndTheirSurroundingsAreHidden() throws {
    expectClose(masked(try part("identity"), lips: try part("lips")), parts["masked"], 0, "masked")
  }

  @Test(arguments: Way.all) func bottleneck(_ way: Way) throws {
    let bottleneck = Bottleneck(weights(way), "bottleneck", config)
    expectNear(bottleneck(try part("previous")), parts["prior"], tolerance(way), "bottleneck \(way.testDescription)")
  }

  @Test func timesAreEmbedded() throws {
    let (times, expected) = (try part("times").values, try part("timestep_embedding"))
    expectNear(timestepEmbedding(Array(times), expected.shape[1]), expected, 1e-4, "timestep embedding")
  }

  @Test(arguments: Way.all) func blocks(_ way: Way) throws {
    let w = weights(way)
    let (a, b, c) = (config.unetChannels[0], config.unetChannels[1], config.unetChannels[2])
    let e = try part("e")
    let same = ResBlock(w, "denoiser.unet.down1_res1", a, a, size: 576, config)
    expectNear(
      same(try part("x1"), same.condition(e), step: 0), parts["down1_res1"], tolerance(way),
      "residual block \(way.testDescription)")
    let wider = ResBlock(w, "denoiser.unet.down2_res1", a, b, size: 144, config)
    expectNear(
      wider(try part("x1"), wider.condition(e), step: 0), parts["down2_res1"], tolerance(way),
      "residual block with skip \(way.testDescription)")
    let cross = CrossAttention(w, "denoiser.unet.down2_attn1", b, size: 144, config)
    let listened = cross(try part("x2"), cross.memory(try part("tokens")))
    expectNear(listened, parts["down2_attn1"], tolerance(way), "cross-attention \(way.testDescription)")
    let own = SelfAttention(w, "denoiser.unet.mid_self", c, size: 36, config)
    expectNear(own(try part("x3")), parts["mid_self"], tolerance(way), "self-attention \(way.testDescription)")
  }

  @Test(arguments: Way.all) func denoiser(_ way: Way) throws {
    let denoiser = Denoiser(weights(way), "denoiser", config)
    let (x, tokens, prior) = (try part("x"), try part("tokens"), try part("prior"))
    let seen = concat(concat(concat(x, try part("masked")), try part("lips")), try part("identity"))
    let unet = denoiser.unet
    let times = unet.embedded([0.75])
    expectNear(
      unet(seen, step: 0, unet.prepare(tokens: tokens, prior: prior, times: times)), parts["unet"], tolerance(way),
      "U-Net \(way.testDescription)")
    expectNear(
      unet(seen, step: 0, unet.prepare(tokens: tokens, prior: nil, times: times)), parts["unet_without_prior"],
      tolerance(way), "U-Net without prior \(way.testDescription)")
    #expect(Schedule(steps: 4, of: denoiser).times[1] == 0.75)
    let velocity = denoiser(x, step: 1, try frame(denoiser, prior: prior, steps: 4))
    expectNear(velocity, parts["velocity"], tolerance(way), "velocity \(way.testDescription)")
  }

  @Test(arguments: Way.all) func samples(_ way: Way) throws {
    let w = weights(way)
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
      expectNear(try #require(latents.last), parts[name], tolerance(way), "\(name) \(way.testDescription)")
    }
  }

  func frame(_ denoiser: Denoiser, prior: Tensor?, steps: Int) throws -> Denoiser.Conditioning {
    let schedule = Schedule(steps: steps, of: denoiser)
    return denoiser.prepare(
      masked: try part("masked"), lips: try part("lips"), identity: try part("identity"),
      denoiser.context(tokens: try part("tokens"), prior: prior, schedule: schedule), schedule: schedule)
  }
}
