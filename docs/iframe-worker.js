/* Pages opened from a folder may not start a web worker, in which the theme searches. Here the worker's script runs in
   a hidden frame instead. After the npm package iframe-worker (Martin Donath, MIT), which the theme would fetch. */
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      window.addEventListener("message", event => {
        if (event.source === inside) this.dispatchEvent(new MessageEvent("message", { data: event.data }))
      })
      const load = source => new Promise(done => {
        const script = inside.document.createElement("script")
        script.src = source
        script.onload = done
        inside.document.body.append(script)
      })
      inside.postMessage = data => inside.parent.postMessage(data, "*")
      inside.importScripts = (...sources) => sources.reduce((before, next) => before.then(() => load(next)), Promise.resolve())
      this.ready = load(url)
    }
    postMessage(data) {
      this.ready.then(() => this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.IFrameWorker = window.Worker // the theme asks for this name
}
