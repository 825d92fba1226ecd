// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CGStreamer
import Glibc
import GstSyncDiff
import SyncDiff
import SyncDiffElement
import Tensors

struct Dub: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Dubs a file: its picture speaks another sound.",
    discussion: """
      The result has the frames and timestamps of VIDEO and the sound of AUDIO; VIDEO's own sound is dropped. If AUDIO is shorter, \
      the rest of the picture stays unchanged and silent. If it is longer, it is cut, or the picture is extended (--extend). A photo \
      as VIDEO lasts as long as the sound, at 25 frames per second. Size, pixel aspect ratio, colorimetry, bit depth and HDR are \
      preserved; rotated and mirrored pictures are turned upright. Whatever cannot be preserved is named. VIDEO is first \
      read through once: if it shows the same single face throughout, mouths from later frames can be used in earlier ones.

      The file states that it was made by AI: in a comment (MPEG-TS has no place for one), and in mp4 and mov also as XMP. If the \
      C2PA library is found (libc2pa_c.so, or the file in SYNCDIFF_C2PA), mp4 and mov get a signed manifest with the \
      names and SHA-256 of the input files, the model, and who confirmed consent. It is signed with --certificate, otherwise \
      with a public test certificate.

      LIST has a row for each spoken line: a sound file, its start and end in the picture in seconds or as h:mm:ss (with a \
      decimal comma in quotes, or if semicolons part the cells), and the face that speaks (largest, center, left, right, all, \
      or a box x,y,w,h in pixels; empty: as the options say). Between the lines the picture goes to the encoder unchanged, and \
      VIDEO's own sound is heard; during a line only with --mix-original.

      With --jobs each stretch has its own decoder, element and encoder, and starts a second early, unseen. The result \
      equals that of a single run except for what the encoder carries across the start of a stretch and, within a scene, for \
      mouths seen since then.

      Encoded stretches (--jobs) and frames to be repeated (--extend) are kept for the time being in unnamed files beside \
      OUT, where there must be room anyway; TMPDIR names another folder. \(Download.help)

      Ctrl-C or SIGTERM ends early and leaves a playable file, or none if VIDEO is still being read through.

      Exit status: 0 dubbed; 3 no face found, the picture is unchanged; 4 dubbed, but an input is shorter than it announces, \
      or a decoder leaves out some of it; 64 wrong command line, or a mistake in a list; 66 an input cannot be read; 70 internal \
      error; 73 the output cannot be written; 130 Ctrl-C; 143 SIGTERM.
      """)

  @Option(
    help: ArgumentHelp("File or URL with the picture: anything GStreamer can decode.", valueName: "video"),
    completion: .file())
  var video: String

  @Option(
    help: ArgumentHelp("File or URL with the sound: anything GStreamer can decode.", valueName: "audio"),
    completion: .file())
  var audio: String?

  @Option(help: ArgumentHelp("Number of the sound track to use. Default: 1.", valueName: "number"))
  var audioTrack: Int?

  @Option(
    help: ArgumentHelp(
      "Instead of AUDIO: a CSV or JSON list of several sounds: start, end, sound, face. See above.",
      valueName: "list"), completion: .file())
  var cues: String?

  @Option(
    name: .shortAndLong,
    help: ArgumentHelp(
      """
      Output file; its extension chooses the container, mp4 if it has none. mkv, webm and ts also go to a pipe or device; - \
      is standard output.
      """,
      valueName: "out"), completion: .file())
  var output: String

  @Option(
    help: ArgumentHelp(
      "Also write a contact sheet: original frames above, dubbed frames below, and under them their time.",
      valueName: "file.png"), completion: .file())
  var sheet: String?

  @OptionGroup(title: "Output") var format: FormatOptions
  @OptionGroup(title: "Dubbing") var element: ElementOptions
  @OptionGroup(title: "Disclosure") var origin: OriginOptions
  @OptionGroup(title: "Messages") var reporting: ReportOptions

  @Flag(help: "Skip the first read through VIDEO.")
  var once = false

  @Option(
    help: """
      Split the picture into N stretches, dub them in parallel and join them. Splits fall on scene changes; also within a scene if \
      VIDEO shows one face throughout, or with --presenter. See above.
      """)
  var jobs = 1

  func validate() throws {
    guard (audio == nil) != (cues == nil) else { throw ValidationError("Give either --audio or --cues.") }
    if cues != nil {
      let hinders = [
        ("--audio-track", audioTrack != nil), ("--from", format.from != 0), ("--to", format.to != nil),
        ("--extend", format.extend != .cut), ("--roi", element.roi != nil),
      ].filter(\.1)
      if let (name, _) = hinders.first { throw ValidationError("\(name) cannot be combined with --cues.") }
    }
    guard (1...64).contains(jobs) else { throw ValidationError("--jobs must be 1 to 64.") }
    if jobs > 1 {
      let hinders = [("--cues", cues != nil), ("--extend", format.extend != .cut), ("--compare", format.compare)]
      if let (name, _) = hinders.first(where: \.1) { throw ValidationError("\(name) cannot be combined with --jobs.") }
    }
    if sheet != nil, format.compare { throw ValidationError("--sheet cannot be combined with --compare.") }
    if let sheet {
      guard sheet.lowercased().hasSuffix(".png") else { throw ValidationError("--sheet writes PNG: name it .png.") }
      guard sheet != output else { throw ValidationError("--sheet and -o are the same file.") }
    }
    if sheet != nil, output == "-" { throw ValidationError("--sheet needs a file as the output.") }
    if reporting.json, output == "-" { throw ValidationError("--json and -o - both write to standard output.") }
    if output == "-", format.container == nil { throw ValidationError("-o - needs --container mkv, webm or ts.") }
  }

  func run() throws {
    let report = Report(isQuiet: reporting.quiet, isJSON: reporting.json)
    do {
      let result = try dub(report)
      report.emit("result", result.record.merging(["warnings": .array(report.warnings.map { .string($0) })]) { $1 })
      switch result.status {
      case nil: return
      case .noFace?, .incomplete?: throw ExitCode(result.status?.rawValue ?? 1)
      case let status?: throw Failure(result.fault, status)
      }
    } catch let failure as Failure {
      report.closeLine()
      report.emit("error", ["text": .string(failure.description), "exit": .integer(Int(failure.status.rawValue))])
      throw failure
    }
  }

  /// Whose certificate it is.
  enum Signature: String { case own, test }

  /// What was made.
  struct Result {
    let picture: Media
    let frames, painted, hidden: Int
    /// Duration of the video, and the time it took to dub it.
    let seconds, spent: Double
    let output: String
    let encoding: Encoding
    /// Nil if it is not signed.
    let signature: Signature?
    /// Who confirmed that there is consent.
    let consent: String?
    /// The exit status that results; nil if all is well.
    let status: ExitStatus?
    /// What is wrong, in case of a fault or an interruption.
    let fault: String

    /// For programs.
    var record: [String: JSON] {
      [
        "output": .string(output), "frames": .integer(frames), "painted": .integer(painted), "hidden": .integer(hidden),
        "seconds": .number(seconds), "spent": .number(spent), "container": .string(encoding.container.rawValue),
        "video_codec": .string(encoding.video.rawValue), "audio_codec": .string(encoding.audio.rawValue),
        "signed": signature.map { .string($0.rawValue) } ?? .null, "consent": consent.map { .string($0) } ?? .null,
        "exit": .integer(Int(status?.rawValue ?? 0)),
      ]
    }
  }

  /// Runs the dub. If `keepsPart`, an interrupted dub keeps what was made so far. A `Failure` is thrown for what the user can mend.
  func dub(_ report: Report, keepsPart: Bool = true) throws -> Result {
    do { return try made(report, keepsPart) } catch let wrong as ValidationError { throw Failure(wrong) }
  }

  private func made(_ report: Report, _ keepsPart: Bool) throws -> Result {
    Interrupt.arm()
    gst_init(nil, nil)
    guard gst_element_register_syncdiff(nil) != 0 else {
      throw Failure("the element syncdiff cannot be registered", .internalFault)
    }
    if let dub = gst_element_factory_make("syncdiff", nil) {
      defer { gst_object_unref(dub) }
      try requirePreset(of: dub)  // so that a mistake is told at once
    }
    let picture = try Media(path: video)
    try picture.requirePicture(deinterlaced: format.deinterlace)
    var known = [video: picture]
    func media(_ path: String) throws -> Media {
      let media = try known[path] ?? Media(path: path)
      known[path] = media
      return media
    }
    let voices =
      try cues.map { try Cue.load(path: $0).map { try Voice($0, in: media($0.sound)) } } ?? audio.map {
        [try Voice(media($0), number: audioTrack)]
      } ?? []
    let label = try origin.label.map { try Label($0, in: origin.labelCorner ?? .topLeft) }
    let job = try Job(picture: picture, voices: voices, hasCues: cues != nil, output: output, format, label: label)
    try requireBoxes(in: job)
    let file = try Output(
      output, inputs: [picture.path] + voices.map(\.media.path), canStream: job.encoding.container.canStream,
      mayReplace: format.overwrite)
    let signing = try Signing(origin, in: job.encoding.container)
    for loss in losses(of: job) { report.warn(loss) }
    if let shown = picture.pictures.first, shown.colours.matrix == 0, !shown.isRGB {
      report.note("\(video) does not say its colours; the result says the usual ones, \(job.encoding.colours.name).")
    }
    let (width, height) = job.shown.shownSize
    let needed = job.shown.isRGB ? .quarter : job.shown.layout.chroma
    let isUsual = job.encoding.video.layouts.contains { $0.chroma == .quarter }
    if isUsual, job.encoding.layout.chroma > needed, width % 2 + height % 2 > 0 {
      report.note(
        "\(video): \(width) x \(height) is odd, so \(job.encoding.video.rawValue) stores \(job.encoding.layout.text), which many players "
          + "do not show; crop it to even numbers for those.")
    }
    if let made = picture.made, job.encoding.container != .ts {
      report.note("\(video): its time of creation, \(made), becomes that of the result.")
    }
    let sight = try look(through: job, report)
    defer { if let known = sight.known { fclose(known) } }
    let began = ContinuousClock.now
    let times = try partings(of: job, sight, report)
    let stretches =
      times.isEmpty ? [] : try job.stretches(at: times, for: file, report) { configure($0, sight.known) }
    let dubbing = try Dubbing(job, output: file, joining: stretches)
    if stretches.isEmpty {
      configure(dubbing.dub, sight.known)
      dubbing.direct(job, usual: element.faceSelect ?? .largest)
    }
    let made = try dubbing.run(report)
    if let status = made.interruption, !keepsPart { throw Failure("interrupted", status) }
    return try finish(file, made, job, signing, (ContinuousClock.now - began) / .seconds(1), report)
  }

  /// Throws if a box that holds a face lies outside of the picture.
  private func requireBoxes(in job: Job) throws {
    let boxes = job.voices.compactMap { voice -> (String, String)? in
      guard case .box(let sides)? = voice.face else { return nil }
      return ("the face at \(hundredths(voice.start)) s", sides.map(String.init).joined(separator: ","))
    }
    let (width, height) = job.shown.shownSize
    for (name, box) in boxes + (element.roi.map { [("--roi", $0)] } ?? []) {
      guard case .bad(let why) = RegionOfInterest(box, width: width, height: height) else { continue }
      throw ValidationError("\(name), \(box): \(why).")
    }
  }

  /// Checks the output, moves it to its final name, and reports.
  private func finish(
    _ file: Output, _ made: Dubbing.Result, _ job: Job, _ signing: Signing, _ spent: Double, _ report: Report
  ) throws -> Result {
    guard made.frames > 0 || made.interruption != nil else {
      throw Failure("\(job.picture.path) has no frame after \(tenths(job.part.from)) s")
    }
    var faults: [String] = []
    if made.interruption == nil, made.lost > 0 { faults.append("the encoder has lost \(made.lost) frames") }
    if file.isFile, [.mp4, .mov].contains(job.encoding.container), made.frames > 0 {
      do { if !job.kept.streams.isEmpty { try setTrackFlags(of: file, job.kept) } } catch {
        faults.append("it does not say of all tracks whether they are default: \(error)")
      }
      do { try setLeads(of: file, [0] + made.leads) } catch { faults.append("its sound begins late: \(error)") }
      if job.encoding.video == .av1 {
        do { try fillAV1Header(of: file, place: StreamTags(job.encoding).place) } catch {
          faults.append("its header does not say how to decode it: \(error)")
        }
      }
      do { try mendOpusHeaders(of: file) } catch { faults.append("its Opus sound begins late in players: \(error)") }
    }
    if made.frames > 0, made.interruption == nil { dropEmpty(made.empty, of: file, job, &faults, report) }
    if let written = file.temporary, made.interruption == nil, made.frames > 0 {
      faults += try check(written, job, made, report)
    }
    let (isFile, signature) = (file.isFile, sign(file, made, job, signing, &faults, report))
    try file.finish()
    report.note(
      "\(output): \(made.frames) frames, \(made.painted) with a new mouth, \(tenths(made.seconds)) s, in "
        + "\(tenths(spent)) s (\(hundredths(made.seconds / spent))x real time)")
    if signature == .test {
      report.note(
        "It is signed with a test certificate, which proves nothing; --certificate and --private-key are for yours.")
    }
    if job.extend == .cut, job.part.to == nil, made.interruption == nil { made.cuts.forEach(report.warn) }
    if made.hidden > 0 {
      report.note(
        "\(made.hidden) frames are as they were, since the face is less than 48 px wide, turned away, covered, or half outside "
          + "in them.")
    }
    if let sheet, isFile, made.frames > 0 {
      let picture = try Output(sheet, inputs: [job.picture.path, output])
      try picture.write(contactSheet(job.picture, from: job.part.from, output))
      try picture.finish()
    }
    let isFaceless = made.painted == 0 && made.faceless > 0
    if isFaceless { report.warn("no face was found in \(job.picture.path): the picture is unchanged.") }
    for shortfall in made.shortfalls { report.warn(shortfall) }
    let status: ExitStatus? =
      made.interruption ?? (faults.isEmpty ? nil : .internalFault) ?? (made.shortfalls.isEmpty ? nil : .incomplete)
      ?? (isFaceless ? .noFace : nil)
    let fault =
      made.interruption == nil
      ? "\(output) is not as it should be: \(faults.joined(separator: "; "))" : "interrupted: \(output) ends early"
    return Result(
      picture: job.picture, frames: made.frames, painted: made.painted, hidden: made.hidden, seconds: made.seconds,
      spent: spent, output: output,
      encoding: job.encoding, signature: signature, consent: origin.consent, status: status, fault: fault)
  }

  /// Leaves out tracks that have nothing in the part, where the file can be changed, and names them.
  private func dropEmpty(
    _ empty: [Kept.Stream], of file: Output, _ job: Job, _ faults: inout [String], _ report: Report
  ) {
    // Before those that are kept there are the video and the new audio.
    let numbers = empty.compactMap { stream in job.kept.streams.firstIndex { $0.index == stream.index }.map { $0 + 2 } }
    let canDrop = file.isFile && job.encoding.container != .ts
    do {
      switch job.encoding.container {
      case _ where numbers.isEmpty || !canDrop: break
      case .mp4, .mov: try dropMovieTracks(numbers, of: file)
      case .mkv, .webm, .ts: try dropMatroskaTracks(numbers, of: file)
      }
    } catch {
      faults.append("it has empty tracks: \(error)")
    }
    for name in Set(empty.map(\.name)).sorted() {
      let count = empty.count { $0.name == name }
      let what = count == 1 ? "a track of its \(name) has" : "\(count) tracks of its \(name) have"
      report.warn(
        "\(video): \(what) nothing in the part, and \(count == 1 ? "is" : "are") \(canDrop ? "left out" : "empty")")
    }
  }

  /// Reads the result back; returns what is wrong with it.
  private func check(_ written: String, _ job: Job, _ made: Dubbing.Result, _ report: Report) throws -> [String] {
    let result: Media
    do { result = try Media(path: written) } catch {
      if let status = Interrupt.status { throw Failure("interrupted", status) }
      return ["it cannot be read back: " + "\(error)".replacing(written, with: output)]
    }
    // Beyond what Losses.swift names.
    let lost = job.picture.tags.subtracting(result.tags).filter { job.encoding.container.holds(tag: $0) }.sorted()
    if !lost.isEmpty {
      report.warn("\(job.picture.path): its metadata is left out: \(lost.joined(separator: ", "))")
    }
    return differences(of: result, from: job, frames: made.frames, empty: made.empty)
  }

  /// Labels the file as made by AI, and signs it. If that fails, it is reported as a fault, and the file stays as it was.
  private func sign(
    _ file: Output, _ made: Dubbing.Result, _ job: Job, _ signing: Signing, _ faults: inout [String],
    _ report: Report
  ) -> Signature? {
    guard made.frames > 0 else { return nil }
    do {
      if [.mp4, .mov].contains(job.encoding.container), try !addSourceType(to: file) {
        report.warn("\(output) has no room for XMP, so only its comment says that it was made by AI")
      }
    } catch {
      faults.append("it has no XMP: \(error)")
    }
    switch signing {
    case .unwanted: break
    case .impossible(let reason): report.note("\(output) is not signed: \(reason)")
    case .possible(let credentials):
      do {
        try credentials.sign(
          file, of: job, isPainted: made.painted > 0, model: element.model ?? defaultModel(), consent: origin.consent)
        return credentials.isTest ? .test : .own
      } catch {
        faults.append("it is not signed: \((error as? C2PA.Problem)?.text ?? "\(error)")")
      }
    }
    return nil
  }

  private func requirePreset(of dub: UnsafeMutablePointer<GstElement>) throws {
    guard let preset = element.preset else { return }
    let found = gst_preset_get_preset_names(OpaquePointer(dub))
    defer { g_strfreev(found) }
    var names: [String] = []
    while let name = found?[names.count] { names.append(String(cString: name)) }
    guard names.contains(preset) else {
      throw Failure("there is no preset \(preset); there are \(names.joined(separator: ", "))", .usage)
    }
  }

  /// Sets the element's properties. `known`: what was learned about the face.
  private func configure(_ dub: UnsafeMutablePointer<GstElement>, _ known: UnsafeMutablePointer<FILE>?) {
    if let preset = element.preset { gst_preset_load_preset(OpaquePointer(dub), preset) }
    for (name, value) in element.properties { dub.object.set(name, to: value) }
    if let known { dub.object.set("presenter", to: "/proc/self/fd/\(fileno(known))") }
  }

  /// The times at which the video is split; empty if it is not.
  private func partings(of job: Job, _ sight: Sight, _ report: Report) throws -> [Double] {
    guard jobs > 1 else { return [] }
    guard job.hindersStretches == nil, let length = job.length else {
      report.note("\(video) is dubbed in one stretch: \(job.hindersStretches ?? "")")
      return []
    }
    let rate = job.shown.rate.value
    let times = partingTimes(
      of: length, into: jobs, at: sight.cuts, anywhere: sight.known != nil || element.presenter != nil,
      frame: rate > 0 ? 1 / rate : 0.001)
    report.note(
      times.isEmpty
        ? "\(video) is dubbed in one stretch: no scene begins where it could be parted."
        : "\(video) is dubbed in \(times.count + 1) stretches, parted at \(times.map { hundredths($0) }.joined(separator: ", ")) s."
    )
    return times
  }

  /// What is known about the video before it is dubbed.
  private struct Sight {
    /// An unnamed file with the mouths seen in the video, if that is one shot of one face: in another shot the same place may
    /// show another person.
    var known: UnsafeMutablePointer<FILE>?
    /// Where scenes begin, seconds; only with --jobs.
    var cuts: [Double] = []
  }

  private func look(through job: Job, _ report: Report) throws -> Sight {
    let learns = element.presenter == nil && !once
    let findsCuts = jobs > 1 && job.hindersStretches == nil
    guard learns || findsCuts, !job.picture.isStill else { return Sight() }
    let (path, began) = (job.picture.path, ContinuousClock.now)
    let model = try loadModel(element.model, precision: element.precision.format)
    let look = Look(
      picture: job.picture, model: model, threads: Int(element.threads), part: format.part,
      deinterlaced: format.deinterlace, isQuick: true, findsCuts: findsCuts, learns: learns)
    let learner = try look.run(report.progress("look", of: job.picture.duration, marks: false))
    report.closeLine()
    let spent = tenths((ContinuousClock.now - began) / .seconds(1))
    guard learns else { return Sight(cuts: look.cuts) }
    guard learner.faces == 1, let presenter = learner.presenter, let file = tmpfile() else {
      report.note("Looked through \(path) in \(spent) s: no face throughout, so mouths are learned while dubbing.")
      return Sight(cuts: look.cuts)
    }
    let bytes = presenter.written(for: model)
    guard fwrite(bytes, 1, bytes.count, file) == bytes.count, fflush(file) == 0 else {
      fclose(file)
      throw Failure("cannot write a temporary file: \(String(cString: strerror(errno)))", .badOutput)
    }
    report.note("Looked through \(path) in \(spent) s: \(mouths(presenter.count)).")
    return Sight(known: file, cuts: look.cuts)
  }
}
