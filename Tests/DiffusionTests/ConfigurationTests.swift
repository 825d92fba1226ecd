// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Diffusion
import Testing

@Suite struct ConfigurationTests {
  /// `json.dumps(Config().dict())` of Sources/Training/networks/config.py.
  static let json = """
    {"window": 80, "latent_channels": 4, "ae_channels": [24, 48, 96], "unet_channels": [64, 128, 192], \
    "groups": 8, "head": 32, "embedding": 256, "prior": 6, "audio_width": 192, "audio_layers": 3, "audio_past": 8, \
    "audio_future": 5, "coefficients": 12, "steps": 2}
    """

  @Test func readsWhatPythonWrites() throws {
    let config = try Configuration(json: Self.json)
    #expect(config.window == 80 && config.latentChannels == 4 && config.latentSide == 20)
    #expect(config.autoencoderChannels == [24, 48, 96] && config.unetChannels == [64, 128, 192])
    #expect(config.groups == 8 && config.head == 32 && config.embedding == 256 && config.prior == 6)
    #expect(config.audioWidth == 192 && config.audioLayers == 3 && config.audioPast == 8 && config.audioFuture == 5)
    #expect(config.tokens == 14 && config.coefficients == 12 && config.steps == 2 && config.avHuBERT == 0)
  }

  /// `Config(av_hubert=768, ...)`: the field is there only if it is not 0.
  @Test func namesAVHuBERT() throws {
    let json = Self.json.replacing("\"steps\": 2", with: "\"steps\": 2, \"av_hubert\": 768")
    #expect(try Configuration(json: json).avHuBERT == 768)
  }

  /// A field of the JSON replaced by other text, and the parser's error.
  @Test(
    arguments: [
      ("\"window\": 80", "\"window\": 80,", .notJSON(offset: 14)),
      ("\"steps\": 2", "\"steps\": 2, \"steps\": 2", .duplicate(field: "steps")),
      ("\"prior\": 6, ", "", .missing(field: "prior")),
      ("\"steps\": 2", "\"steps\": 2, \"b\": 0, \"a\": 1", .unknown(fields: ["a", "b"])),
      ("\"window\": 80", "\"window\": \"80\"", .wrongType(field: "window", expected: "an integer")),
      ("\"window\": 80", "\"window\": 80.0", .wrongType(field: "window", expected: "an integer")),
      ("[24, 48, 96]", "[24, 48]", .wrongType(field: "ae_channels", expected: "a list of 3 integers")),
      ("[24, 48, 96]", "[24, 48, null]", .wrongType(field: "ae_channels", expected: "a list of 3 integers")),
      ("[24, 48, 96]", "24", .wrongType(field: "ae_channels", expected: "a list of 3 integers")),
      ("\"window\": 80", "\"window\": 9007199254740992", .outOfRange(field: "window", value: 1 << 53, range: 32...512)),
      ("\"window\": 80", "\"window\": 100", .notMultiple(field: "window", value: 100, of: 16)),
      ("\"coefficients\": 12", "\"coefficients\": 0", .outOfRange(field: "coefficients", value: 0, range: 1...64)),
      ("\"steps\": 2", "\"steps\": 2, \"mask_top\": 28", .unknown(fields: ["mask_top"])),
      ("[64, 128, 192]", "[64, 128, 196]", .notMultiple(field: "unet_channels", value: 196, of: 8)),
      ("[64, 128, 192]", "[64, 136, 192]", .notMultiple(field: "unet_channels", value: 136, of: 32)),
      ("\"groups\": 8", "\"groups\": 0", .outOfRange(field: "groups", value: 0, range: 1...1024)),
      ("\"embedding\": 256", "\"embedding\": 254", .notMultiple(field: "embedding", value: 254, of: 4)),
      ("\"audio_width\": 192", "\"audio_width\": 190", .notMultiple(field: "audio_width", value: 190, of: 32)),
      (
        "\"steps\": 2", "\"steps\": 2, \"av_hubert\": 0", .outOfRange(field: "av_hubert", value: 0, range: 128...1024)
      ),
      ("\"steps\": 2", "\"steps\": 2, \"av_hubert\": 200", .notMultiple(field: "av_hubert", value: 200, of: 64)),
      (
        "\"steps\": 2", "\"steps\": 2, \"av_hubert\": true",
        .wrongType(field: "av_hubert", expected: "an integer")
      ),
      ("\"steps\": 2", "\"steps\": -2", .outOfRange(field: "steps", value: -2, range: 1...1000)),
    ] as [(String, String, ConfigurationError)])
  func refuses(field: String, replacement: String, expected: ConfigurationError) throws {
    let range = try #require(Self.json.firstRange(of: field))
    let json = Self.json.replacingSubrange(range, with: replacement)
    #expect(throws: expected) { try Configuration(json: json) }
    #expect(!expected.description.isEmpty)
  }

  @Test func refusesWhatIsNoObject() {
    #expect(throws: ConfigurationError.notAnObject) { try Configuration(json: "[80]") }
    #expect(throws: ConfigurationError.notJSON(offset: 0)) { try Configuration(json: "") }
  }
}

extension String {
  fileprivate func replacingSubrange(_ range: Range<Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
