// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// What a result states about itself under a signature, in a manifest after the C2PA specification 2 (Content Credentials):
// that a trained algorithm made it from these files, with this model.

import CGStreamer
import Glibc
import GstSyncDiff
import SyncDiff
import SyncDiffElement
import Synchronization
import Tensors

/// Whether a result will be signed.
enum Signing {
  case unwanted
  /// With the reason.
  case impossible(String)
  case possible(Credentials)

  /// Throws if a certificate is given that cannot be used.
  init(_ options: OriginOptions, in container: Container) throws {
    guard options.sign else {
      self = .unwanted
      return
    }
    do {
      self = .possible(try Credentials(options, in: container))
    } catch let problem as C2PA.Problem {
      if let certificate = options.certificate { throw Failure("cannot sign with \(certificate): \(problem.text)") }
      self = .impossible(problem.text)
    }
  }
}

struct Credentials {
  private let library: C2PA
  private let signer: C2PA.Signer
  /// Whether this is the public test certificate.
  let isTest: Bool

  /// Throws `C2PA.Problem` if nothing can be signed.
  fileprivate init(_ options: OriginOptions, in container: Container) throws {
    isTest = options.certificate == nil
    guard container.mediaType != nil else {
      throw C2PA.Problem(text: "C2PA has no place in \(container.rawValue), only in mp4 and mov")
    }
    library = try C2PA()
    if let certificate = options.certificate, let key = options.privateKey {
      signer = try library.signer(certificates: Self.bytes(certificate), key: Self.bytes(key))
    } else {
      signer = try library.signer(certificates: Array(testCertificates.utf8), key: Array(testKey.utf8))
    }
    try tryOut()
  }

  /// Adds the manifest to the result. `model`: path of the model file.
  func sign(_ file: Output, of job: Job, isPainted: Bool, model: String, consent: String?) throws {
    guard let format = job.encoding.container.mediaType else { return }
    let inputs = Self.inputs(of: job)
    var edit: [String: JSON] = ["action": .string("c2pa.edited"), "softwareAgent": Self.program]
    if isPainted { edit["digitalSourceType"] = .string(digitalSourceType) }
    var parameters: [String: JSON] = [
      "model": .object(["name": .string(Self.name(model)), "sha256": Self.hash(ofModel: model)])
    ]
    if let consent { parameters["consent"] = .string(consent) }
    edit["parameters"] = .object(parameters)
    let manifest = Self.manifest(inputs.map(\.action) + [.object(edit)], title: Self.name(file.name), format)
    try file.remake { from, to in
      try library.sign(from, to: to, as: format, manifest, inputs.map(\.ingredient), by: signer)
    }
  }

  /// A file that the result was made from, and what was done with it.
  private struct Input {
    let ingredient: C2PA.Ingredient
    let action: JSON

    init(_ media: Media, _ action: String, _ relationship: String, _ label: String) {
      ingredient = C2PA.Ingredient(
        members: .object([
          "title": .string(name(media.path)), "relationship": .string(relationship), "label": .string(label),
        ]), format: media.container, path: media.file)
      let hash = media.file.map { sha256($0) } ?? .null
      self.action = .object([
        "action": .string(action), "parameters": .object(["ingredientIds": .array([.string(label)]), "sha256": hash]),
      ])
    }
  }

  /// The video, and each audio file once.
  private static func inputs(of job: Job) -> [Input] {
    var seen: Set<String> = []
    let sounds = job.voices.map(\.media).filter { seen.insert($0.path).inserted }
    return [Input(job.picture, "c2pa.opened", "parentOf", "picture")]
      + sounds.enumerated().map { Input($1, "c2pa.dubbed", "componentOf", "sound\($0)") }
  }

  /// Signs a tiny file, to find a certificate that readers reject before hours of dubbing, not after.
  private func tryOut() throws {
    guard let source = tmpfile(), let target = tmpfile() else {
      throw Failure("cannot write a temporary file: \(String(cString: strerror(errno)))", .badOutput)
    }
    defer { for file in [source, target] { fclose(file) } }
    fputs(#"<svg xmlns="http://www.w3.org/2000/svg"></svg>"#, source)
    fflush(source)
    let created = JSON.object(["action": .string("c2pa.created"), "digitalSourceType": .string(digitalSourceType)])
    let format = "image/svg+xml"
    try library.sign(
      fileno(source), to: fileno(target), as: format, Self.manifest([created], title: "trial", format), by: signer)
  }

  private static let program = JSON.object([
    "name": .string("syncdiff"), "version": .string(GST_SYNC_DIFF_VERSION),
  ])

  private static func manifest(_ actions: [JSON], title: String, _ format: String) -> JSON {
    .object([
      "claim_generator_info": .array([program]), "title": .string(title), "format": .string(format),
      "assertions": .array([
        .object(["label": .string("c2pa.actions.v2"), "data": .object(["actions": .array(actions)])])
      ]),
    ])
  }

  private static func bytes(_ path: String) throws -> [UInt8] {
    guard let bytes = readFile(path) else { throw Failure("cannot read \(path): \(String(cString: strerror(errno)))") }
    return bytes
  }

  /// Last path component; of a URL without the query.
  private static func name(_ path: String) -> String {
    let file = path.contains("://") ? String(path.prefix { $0 != "?" && $0 != "#" }) : path
    return file.split(separator: "/").last.map(String.init) ?? file
  }

  /// `sha256` of a model, computed once for all results of a batch.
  private static func hash(ofModel path: String) -> JSON {
    guard let file = FileIdentity(path: path) else { return .null }
    return hashes.withLock { hashes in
      if let hash = hashes[file] { return hash }
      let hash = sha256(path)
      hashes[file] = hash
      return hash
    }
  }

  private static let hashes = Mutex<[FileIdentity: JSON]>([:])

  /// SHA-256 of a file in hexadecimal; null if it cannot be read.
  private static func sha256(_ path: String) -> JSON {
    guard let file = fopen(path, "re"), let checksum = g_checksum_new(G_CHECKSUM_SHA256) else { return .null }
    defer {
      fclose(file)
      g_checksum_free(checksum)
    }
    var part = [UInt8](repeating: 0, count: 1 << 20)
    while case let count = fread(&part, 1, part.count, file), count > 0 { g_checksum_update(checksum, part, count) }
    guard ferror(file) == 0, let digits = g_checksum_get_string(checksum) else { return .null }
    return .string(String(cString: digits))
  }
}

extension Container {
  /// Media type of containers that can hold a manifest; nil for others.
  fileprivate var mediaType: String? {
    switch self {
    case .mp4: "video/mp4"
    case .mov: "video/quicktime"
    case .mkv, .webm, .ts: nil
    }
  }
}
