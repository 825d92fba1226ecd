// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

// The C2PA project's own library through its C interface (c2pa.h of c2pa-rs), loaded on demand: the build does not need it.
// It signs files and reads manifests, and opens no connection.

import Glibc
import Tensors

final class C2PA {
  /// Environment variable with the path of the library, for when the loader does not find it.
  static let variable = "SYNCDIFF_C2PA"

  /// A phrase with the complaint of the library or the loader.
  struct Problem: Error { let text: String }

  /// A certificate with its key.
  final class Signer {
    fileprivate let handle: UnsafeMutableRawPointer
    private let free: Free
    fileprivate init(_ handle: UnsafeMutableRawPointer, _ free: @escaping Free) {
      (self.handle, self.free) = (handle, free)
    }
    deinit { _ = free(handle) }
  }

  /// Something that the signed file was made from.
  struct Ingredient {
    /// `title`, `relationship`, `label` and the like.
    let members: JSON
    /// Its media type, or GStreamer's name for it.
    let format: String
    /// Path to read its own manifest from; nil if it is not a file.
    let path: String?
  }

  private typealias Handle = UnsafeMutableRawPointer
  fileprivate typealias Free = @convention(c) (UnsafeMutableRawPointer) -> Int32
  private typealias Text = UnsafePointer<CChar>

  private let error: @convention(c) () -> UnsafeMutablePointer<CChar>?
  private let free: Free
  private let newSettings: @convention(c) () -> Handle?
  private let updateSettings: @convention(c) (Handle, Text, Text) -> Int32
  private let newContextBuilder: @convention(c) () -> Handle?
  private let setSettings: @convention(c) (Handle, Handle) -> Int32
  private let buildContext: @convention(c) (Handle) -> Handle?
  private let newBuilder: @convention(c) (Handle) -> Handle?
  private let define: @convention(c) (Handle, Text) -> Handle?
  private let addIngredient: @convention(c) (Handle, Text, Text, Handle) -> Int32
  private let newSigner: @convention(c) (UnsafeRawPointer) -> Handle?
  private let sign: @convention(c) (Handle, Text, Handle, Handle, Handle, UnsafeMutablePointer<Handle?>) -> Int64
  private let newReader: @convention(c) (Handle) -> Handle?
  private let read: @convention(c) (Handle, Text, Handle) -> Handle?
  private let readerJSON: @convention(c) (Handle) -> UnsafeMutablePointer<CChar>?
  private let newStream: @convention(c) (Handle, Read, Seek, Write, Flush) -> Handle?
  private let releaseStream: @convention(c) (Handle) -> Void

  /// Throws `Problem` if the library is missing or too old.
  init() throws {
    let given = getenv(Self.variable).map { String(cString: $0) }
    let name = given ?? "libc2pa_c.so"
    guard let library = dlopen(name, RTLD_NOW | RTLD_LOCAL) else {
      let why = dlerror().map { String(cString: $0) } ?? name
      throw Problem(
        text: given == nil
          ? "the C2PA library is not installed (\(Self.variable) may name its file)"
          : "\(Self.variable) does not name the C2PA library: \(why)")
    }
    func function<Function>(_ symbol: String) throws -> Function {
      guard let found = dlsym(library, "c2pa_\(symbol)") else {
        throw Problem(text: "\(name) has no c2pa_\(symbol); it is of another version")
      }
      return unsafeBitCast(found, to: Function.self)
    }
    (error, free) = (try function("error"), try function("free"))
    (newSettings, updateSettings) = (try function("settings_new"), try function("settings_update_from_string"))
    (newContextBuilder, setSettings) = (
      try function("context_builder_new"), try function("context_builder_set_settings")
    )
    buildContext = try function("context_builder_build")
    (newBuilder, define) = (try function("builder_from_context"), try function("builder_with_definition"))
    (addIngredient, newSigner) = (try function("builder_add_ingredient_from_stream"), try function("signer_from_info"))
    (sign, newReader) = (try function("builder_sign"), try function("reader_from_context"))
    (read, readerJSON) = (try function("reader_with_stream"), try function("reader_json"))
    (newStream, releaseStream) = (try function("create_stream"), try function("release_stream"))
  }

  /// Signer from a certificate chain and a key, both PEM, the key in PKCS #8.
  func signer(certificates: [UInt8], key: [UInt8]) throws -> Signer {
    let (chain, secret) = (certificates.map { CChar(bitPattern: $0) } + [0], key.map { CChar(bitPattern: $0) } + [0])
    for algorithm in ["es256", "es384", "es512", "ps256", "ed25519"] {  // only one matches the key
      let handle = chain.withUnsafeBufferPointer { chain in
        secret.withUnsafeBufferPointer { secret in
          algorithm.withCString { algorithm in
            // C2paSignerInfo: algorithm, certificates, key, URL of a timestamp authority.
            [algorithm, chain.baseAddress, secret.baseAddress, nil].withUnsafeBytes { info in
              info.baseAddress.flatMap { newSigner($0) }
            }
          }
        }
      }
      if let handle { return Signer(handle, free) }
    }
    throw Problem(text: "no key as PKCS #8 (BEGIN PRIVATE KEY) of ECDSA, RSA or Ed25519")
  }

  /// Copies `source`, of media type `format`, to `target` with a manifest added, and reads it back. Both are file
  /// descriptors.
  func sign(
    _ source: Int32, to target: Int32, as format: String, _ manifest: JSON, _ ingredients: [Ingredient] = [],
    by signer: Signer
  ) throws {
    let context = try context()
    defer { _ = free(context) }
    let builder = try made(define(made(newBuilder(context)), manifest.text))  // which consumes the empty builder
    defer { _ = free(builder) }
    for ingredient in ingredients { try add(ingredient, to: builder) }
    let from = try stream(source)
    defer { releaseStream(from) }
    let to = try stream(target)
    defer { releaseStream(to) }
    var bytes: Handle?
    let count = sign(builder, format, from, to, signer.handle, &bytes)
    if let bytes { _ = free(bytes) }
    guard count >= 0 else { throw problem() }
  }

  /// A file's manifests and their validation, as the library reports them; nil if there are none, or the format cannot hold
  /// any.
  func manifests(of path: String, as format: String) throws -> JSON? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Problem(text: String(cString: strerror(errno))) }
    defer { close(descriptor) }
    let context = try context()
    defer { _ = free(context) }
    let file = try stream(descriptor)
    defer { releaseStream(file) }
    guard let reader = read(try made(newReader(context)), format, file) else {  // which consumes the empty reader
      let problem = problem()
      if ["ManifestNotFound", "NotSupported"].contains(where: problem.text.hasPrefix) { return nil }
      throw problem
    }
    defer { _ = free(reader) }
    guard let text = readerJSON(reader) else { throw problem() }
    defer { _ = free(Handle(text)) }
    guard let json = try? JSON(parsing: String(cString: text).utf8) else { throw Problem(text: "it tells no JSON") }
    return json
  }

  /// Hashes in chunks of 4 MB, since the library would read up to 256 MB at once for larger files; fetches nothing.
  private func context() throws -> Handle {
    let text = """
      {"core": {"merkle_tree_chunk_size_in_kb": 4096, "backing_store_memory_threshold_in_mb": 8}, \
      "verify": {"remote_manifest_fetch": false, "ocsp_fetch": false}}
      """
    let settings = try made(newSettings())
    defer { _ = free(settings) }
    let builder = try made(newContextBuilder())
    guard updateSettings(settings, text, "json") == 0, setSettings(builder, settings) == 0 else {
      defer { _ = free(builder) }
      throw problem()
    }
    return try made(buildContext(builder))
  }

  /// An ingredient whose file cannot be read, or that the library does not understand, is only named.
  private func add(_ ingredient: Ingredient, to builder: Handle) throws {
    for (path, format) in [(ingredient.path, ingredient.format), (nil, "application/octet-stream")] {
      let descriptor = open(path ?? "/dev/null", O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { continue }
      defer { close(descriptor) }
      let file = try stream(descriptor)
      defer { releaseStream(file) }
      if addIngredient(builder, ingredient.members.text, format, file) == 0 { return }
    }
    throw problem()
  }

  private func made(_ handle: Handle?) throws -> Handle {
    guard let handle else { throw problem() }
    return handle
  }

  private func problem() -> Problem {
    guard let text = error() else { return Problem(text: "the C2PA library does not say why") }
    defer { _ = free(Handle(text)) }
    return Problem(text: String(cString: text))
  }

  // MARK: Streams over file descriptors, where the handle is the descriptor itself

  private typealias Read = @convention(c) (Handle?, UnsafeMutablePointer<UInt8>?, Int) -> Int
  private typealias Seek = @convention(c) (Handle?, Int, Int32) -> Int
  private typealias Write = @convention(c) (Handle?, UnsafePointer<UInt8>?, Int) -> Int
  private typealias Flush = @convention(c) (Handle?) -> Int

  private func stream(_ descriptor: Int32) throws -> Handle {
    guard descriptor >= 0, let me = Handle(bitPattern: Int(descriptor) + 1) else {
      throw Problem(text: String(cString: strerror(errno)))
    }
    lseek(descriptor, 0, SEEK_SET)
    return try made(
      newStream(
        me, { Glibc.read(C2PA.descriptor($0), $1, $2) }, { Int(lseek(C2PA.descriptor($0), off_t($1), $2)) },
        { Glibc.write(C2PA.descriptor($0), $1, $2) }, { _ in 0 }))
  }

  private static func descriptor(_ stream: Handle?) -> Int32 { Int32(Int(bitPattern: stream) - 1) }
}
