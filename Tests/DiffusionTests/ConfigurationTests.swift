// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import Diffusion
import Testing

@Suite struct ConfigurationTests {
  /// `json.dumps(Config().dict())` of Sources/Training/model.py.
  static let json = """
    {"window": 96, "mask_top": 28, "latent_channels": 4, "ae_channels": [24, 48, 96], "unet_channels": [64, 128, 192], \
    "groups": 8, "head": 32, "embedding": 256, "prior": 6, "audio_width": 192, "audio_layers": 3, "audio_past": 8, \
    "audio_future": 5, "steps": 4}
    """

  @Test func readsWhatPythonWrites() throws {
    let config = try Configuration(json: Self.json)
    #expect(config.window == 96 && config.maskTop == 28 && config.latentChannels == 4 && config.latentSide == 24)
    #expect(config.autoencoderChannels == [24, 48, 96] && config.unetChannels == [64, 128, 192])
    #expect(config.groups == 8 && config.head == 32 && config.embedding == 256 && config.prior == 6)
    #expect(config.audioWidth == 192 && config.audioLayers == 3 && config.audioPast == 8 && config.audioFuture == 5)
    #expect(config.tokens == 14 && config.steps == 4 && config.avHuBERT == 0)
  }

  /// Models of before `seen_rows` see all that is not painted.
  @Test func namesTheRowsThatAreSeen() throws {
    #expect(try Configuration(json: Self.json).seenRows == 28)
    let json = Self.json.replacing("\"mask_top\": 28", with: "\"mask_top\": 28, \"seen_rows\": 16")
    #expect(try Configuration(json: json).seenRows == 16)
  }

  /// `Config(av_hubert=768, ...)`: the field is there only if it is not 0.
  @Test func namesAVHuBERT() throws {
    let json = Self.json.replacing("\"steps\": 4", with: "\"steps\": 4, \"av_hubert\": 768")
    #expect(try Configuration(json: json).avHuBERT == 768)
  }

  /// A field of the JSON replaced by another text, and what the reader says.
  @Test(
    arguments: [
      ("\"window\": 96", "\"window\": 96,", .notJSON(offset: 14)),
      ("\"steps\": 4", "\"steps\": 4, \"steps\": 4", .duplicate(field: "steps")),
      ("\"prior\": 6, ", "", .missing(field: "prior")),
      ("\"steps\": 4", "\"steps\": 4, \"b\": 0, \"a\": 1", .unknown(fields: ["a", "b"])),
      ("\"window\": 96", "\"window\": \"96\"", .wrongType(field: "window", expected: "an integer")),
      ("\"window\": 96", "\"window\": 96.0", .wrongType(field: "window", expected: "an integer")),
      ("[24, 48, 96]", "[24, 48]", .wrongType(field: "ae_channels", expected: "a list of 3 integers")),
      ("[24, 48, 96]", "[24, 48, null]", .wrongType(field: "ae_channels", expected: "a list of 3 integers")),
      ("[24, 48, 96]", "24", .wrongType(field: "ae_channels", expected: "a list of 3 integers")),
      ("\"window\": 96", "\"window\": 9007199254740992", .outOfRange(field: "window", value: 1 << 53, range: 32...512)),
      ("\"window\": 96", "\"window\": 100", .notMultiple(field: "window", value: 100, of: 16)),
      ("\"mask_top\": 28", "\"mask_top\": 96", .outOfRange(field: "mask_top", value: 96, range: 4...92)),
      ("\"mask_top\": 28", "\"mask_top\": 30", .notMultiple(field: "mask_top", value: 30, of: 4)),
      (
        "\"mask_top\": 28", "\"mask_top\": 28, \"seen_rows\": 32",
        .outOfRange(field: "seen_rows", value: 32, range: 4...28)
      ),
      ("[64, 128, 192]", "[64, 128, 196]", .notMultiple(field: "unet_channels", value: 196, of: 8)),
      ("[64, 128, 192]", "[64, 136, 192]", .notMultiple(field: "unet_channels", value: 136, of: 32)),
      ("\"groups\": 8", "\"groups\": 0", .outOfRange(field: "groups", value: 0, range: 1...1024)),
      ("\"embedding\": 256", "\"embedding\": 254", .notMultiple(field: "embedding", value: 254, of: 4)),
      ("\"audio_width\": 192", "\"audio_width\": 190", .notMultiple(field: "audio_width", value: 190, of: 32)),
      (
        "\"steps\": 4", "\"steps\": 4, \"av_hubert\": 0", .outOfRange(field: "av_hubert", value: 0, range: 128...1024)
      ),
      ("\"steps\": 4", "\"steps\": 4, \"av_hubert\": 200", .notMultiple(field: "av_hubert", value: 200, of: 64)),
      (
        "\"steps\": 4", "\"steps\": 4, \"av_hubert\": true",
        .wrongType(field: "av_hubert", expected: "an integer")
      ),
      ("\"steps\": 4", "\"steps\": -4", .outOfRange(field: "steps", value: -4, range: 1...1000)),
    ] as [(String, String, ConfigurationError)])
  func refuses(field: String, replacement: String, expected: ConfigurationError) throws {
    let range = try #require(Self.json.firstRange(of: field))
    let json = Self.json.replacingSubrange(range, with: replacement)
    #expect(throws: expected) { try Configuration(json: json) }
    #expect(!expected.description.isEmpty)
  }

  @Test func refusesWhatIsNoObject() {
    #expect(throws: ConfigurationError.notAnObject) { try Configuration(json: "[96]") }
    #expect(throws: ConfigurationError.notJSON(offset: 0)) { try Configuration(json: "") }
  }
}

extension String {
  fileprivate func replacingSubrange(_ range: Range<Index>, with text: String) -> String {
    self[..<range.lowerBound] + text + self[range.upperBound...]
  }
}
