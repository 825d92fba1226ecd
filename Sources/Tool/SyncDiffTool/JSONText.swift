// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// JSON as text, for programs that read what the tool prints. The parser is in Tensors, which does not link Foundation.

import FoundationEssentials
import Tensors

extension JSON: Encodable {
  /// A number that is not finite is null.
  package func encode(to encoder: any Encoder) throws {
    var value = encoder.singleValueContainer()
    switch self {
    case .bool(let flag): try value.encode(flag)
    case .integer(let number): try value.encode(number)
    case .number(let number) where number.isFinite: try value.encode(number)
    case .null, .number: try value.encodeNil()
    case .string(let text): try value.encode(text)
    case .array(let elements): try value.encode(elements)
    case .object(let members): try value.encode(members)
    }
  }

  /// As one line, members in alphabetical order.
  var text: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Encoding fails only for numbers that are not finite, and those are null here.
    return String(decoding: (try? encoder.encode(self)) ?? Data("null".utf8), as: UTF8.self)
  }
}
