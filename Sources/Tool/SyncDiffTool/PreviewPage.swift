// Copyright 2026 the syncdiff authors
// SPDX-License-Identifier: Apache-2.0

/// The page that `syncdiff preview` serves, complete in itself.
let previewPage = #"""
  <!doctype html>
  <html lang="en">
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width">
  <title>syncdiff</title>
  <style>
    body { font: 15px system-ui, sans-serif; margin: 1.5em auto; max-width: 72em; padding: 0 1em; color: #222 }
    form { display: flex; flex-wrap: wrap; gap: 1em; align-items: end; margin-bottom: 1em }
    label { display: grid; gap: .2em; font-size: 13px; color: #555 }
    select, input, button { font: inherit; padding: .3em }
    .sides { display: grid; grid-template-columns: 1fr 1fr; gap: .5em }
    video { width: 100%; background: #111; aspect-ratio: 16 / 9 }
    figure { margin: 0 }
    figcaption { font-size: 13px; color: #555; padding: .2em 0 }
    canvas { width: 100%; height: 160px; border: 1px solid #ddd; margin-top: .6em; cursor: pointer }
    progress { width: 100% }
    .sound { color: #9aa7b5 } .before { color: #b5651d } .after { color: #1f6fb5 }
    #said { white-space: pre-wrap; font-size: 13px }
  </style>
  <form id="form">
    <label>Picture <select id="video" required></select></label>
    <label>Sound <select id="audio" required></select></label>
    <label>Face <select id="face">
      <option>largest</option><option>center</option><option>left</option><option>right</option><option>all</option>
    </select></label>
    <label>Strength <input id="strength" type="range" min="0" max="1" step="0.05" value="1"></label>
    <label>Result <input id="output" required></label>
    <button id="start">Dub</button>
    <button id="stop" type="button" hidden>Stop</button>
  </form>
  <progress id="share" max="1" value="0" hidden></progress>
  <div class="sides">
    <figure><video id="before" controls muted playsinline></video><figcaption>Original</figcaption></figure>
    <figure><video id="after" controls playsinline></video><figcaption id="name">Dub</figcaption></figure>
  </div>
  <canvas id="curves"></canvas>
  <div><span class="sound">sound</span>, opening of the lips: <span class="before">original</span>,
    <span class="after">dub</span></div>
  <p id="said" role="status"></p>
  <script>
  const id = name => document.getElementById(name)
  const url = name => "/media/" + encodeURIComponent(name)
  const curves = { sound: [], before: [], after: [], seconds: 0 }
  const say = text => { id("said").textContent = text }

  async function list() {
    const files = await (await fetch("/files")).json()
    for (const [name, names] of [["video", files.pictures], ["audio", files.sounds]]) {
      const chosen = id(name).value
      id(name).replaceChildren(...names.map(file => new Option(file, file, false, file === chosen)))
    }
  }

  function propose() {
    const [picture, sound] = [id("video").value, id("audio").value].map(name => name.replace(/\.[^.]*$/, ""))
    id("output").value = `${picture}-${sound}.mp4`
  }

  // What was asked for last counts, whatever comes first.
  const wanted = {}

  async function lips(name, key) {
    wanted[key] = name
    curves[key] = []
    draw()
    const answer = await fetch("/lips?file=" + encodeURIComponent(name))
    const points = answer.ok ? await answer.json() : []
    if (wanted[key] === name) curves[key] = points
    draw()
  }

  // The loudest sample of each hundredth of a second.
  async function hear(name) {
    wanted.sound = name
    curves.sound = []
    try {
      const bytes = await (await fetch(url(name))).arrayBuffer()
      const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(bytes)
      const samples = sound.getChannelData(0)
      if (wanted.sound !== name) return
      for (let at = 0; at < samples.length; at += 160) {
        let peak = 0
        for (let i = at; i < Math.min(at + 160, samples.length); i++) peak = Math.max(peak, Math.abs(samples[i]))
        curves.sound.push(peak)
      }
    } catch { say(`This browser cannot play the sound of ${name}; syncdiff may still use it.`) }
    draw()
  }

  function draw() {
    const canvas = id("curves"), pen = canvas.getContext("2d")
    const [width, height] = [canvas.width = canvas.clientWidth * devicePixelRatio, canvas.height = canvas.clientHeight * devicePixelRatio]
    const last = points => points.length ? points[points.length - 1][0] : 0
    const seconds = curves.seconds = Math.max(curves.sound.length / 100, last(curves.before), last(curves.after), 0.1)
    const x = time => time / seconds * width
    pen.fillStyle = "#9aa7b5"
    curves.sound.forEach((peak, i) => pen.fillRect(x(i / 100), height / 2 * (1 - peak), Math.max(x(0.01), 1), height * peak))
    const widest = Math.max(0.05, ...[...curves.before, ...curves.after].map(point => point[1] ?? 0))
    for (const [key, colour] of [["before", "#b5651d"], ["after", "#1f6fb5"]]) {
      pen.strokeStyle = colour
      pen.lineWidth = 2 * devicePixelRatio
      pen.beginPath()
      let isDown = false
      for (const [time, opening] of curves[key]) {
        if (opening === null) { isDown = false; continue }
        const y = height * (0.95 - 0.9 * opening / widest)
        isDown ? pen.lineTo(x(time), y) : pen.moveTo(x(time), y)
        isDown = true
      }
      pen.stroke()
    }
    pen.fillStyle = "#c00"
    pen.fillRect(x(id("after").currentTime || id("before").currentTime), 0, devicePixelRatio, height)
  }

  // Both sides play together.
  for (const [one, other] of [["before", "after"], ["after", "before"]]) {
    id(one).addEventListener("play", () => { if (id(other).src && id(other).paused) id(other).play() })
    id(one).addEventListener("pause", () => { if (!id(one).ended) id(other).pause() })
    id(one).addEventListener("seeked", () => {
      if (id(other).src && Math.abs(id(other).currentTime - id(one).currentTime) > 0.05) id(other).currentTime = id(one).currentTime
    })
    id(one).addEventListener("timeupdate", draw)
  }
  id("curves").addEventListener("click", event => {
    const time = event.offsetX / id("curves").clientWidth * curves.seconds
    id("before").currentTime = time
  })

  function showPicture() {
    id("before").src = url(id("video").value)
    propose()
    lips(id("video").value, "before")
  }
  function showSound() {
    propose()
    hear(id("audio").value)
  }
  id("video").addEventListener("change", showPicture)
  id("audio").addEventListener("change", showSound)
  addEventListener("resize", draw)

  let running
  id("stop").addEventListener("click", () => running?.abort())
  id("form").addEventListener("submit", async event => {
    event.preventDefault()
    running = new AbortController()
    const wish = { video: id("video").value, audio: id("audio").value, output: id("output").value, face: id("face").value,
      strength: id("strength").value }
    id("start").disabled = true
    id("stop").hidden = id("share").hidden = false
    id("share").removeAttribute("value")
    say("")
    const said = []
    try {
      const answer = await fetch("/dub",
        { method: "POST", headers: { "X-Syncdiff": "1" }, body: JSON.stringify(wish), signal: running.signal })
      if (!answer.ok) throw new Error(await answer.text())
      let rest = ""
      for await (const bytes of chunks(answer.body.pipeThrough(new TextDecoderStream()))) {
        const lines = (rest + bytes).split("\n")
        rest = lines.pop()
        for (const line of lines) {
          const told = JSON.parse(line)
          if (told.event === "progress") { id("share").value = told.share; continue }
          if (told.event === "result") {
            said.push(`${wish.output}: ${told.frames} frames, ${told.painted} with a new mouth, in ${told.spent.toFixed(1)} s`)
            id("after").src = url(wish.output)
            id("name").textContent = wish.output
            lips(wish.output, "after")
          } else said.push(told.text)
          say(said.join("\n"))
        }
      }
    } catch (error) { say(error.name === "AbortError" ? "Stopped." : error.message) }
    id("start").disabled = false
    id("stop").hidden = id("share").hidden = true
    list()
  })

  async function* chunks(stream) {
    const reader = stream.getReader()
    for (let part; !(part = await reader.read()).done;) yield part.value
  }

  list().then(() => {
    if (id("video").value) showPicture()
    if (id("audio").value) showSound()
  })
  </script>
  </html>

  """#
