// The player page of `weir demo`. It knows every edge, plays natively where
// the browser can (hls.js otherwise, or with ?engine=hls), shows how it goes,
// and moves to the next edge when the one it plays from cannot be reached.
'use strict';

const $ = (id) => document.getElementById(id);
const video = $('video');
const started = performance.now();

// What a test, or a person at the console, can read.
const state = window.weir = { engine: '', edge: '', moves: 0, recoveries: 0, stalls: 0, errors: [], firstFrame: null, latency: null, buffer: null, rendition: '' };

let session = null; // {edges: [...], path: '/t/…/index.m3u8', live: bool}
let at = 0;         // which edge we play from
let hls = null;
let everPlayed = false;

const say = (text, bad) => { $('note').textContent = text; $('note').classList.toggle('bad', !!bad); };

function showEdges() {
  $('edges').replaceChildren(...session.edges.map((url, i) => {
    const li = document.createElement('li');
    li.textContent = url.replace(/^https?:\/\//, '');
    li.className = i === at ? 'on' : session.failed.has(i) ? 'failed' : '';
    return li;
  }));
}

function pickEngine() {
  const want = new URLSearchParams(location.search).get('engine');
  const native = video.canPlayType('application/vnd.apple.mpegurl') !== '';
  const js = !!window.Hls && Hls.isSupported();
  if (!window.Hls) $('engines').textContent = 'hls.js is not in this weir, which was built without npm: the page plays natively only';
  if (want === 'hls' && js) return 'hls.js';
  if (native) return 'native';
  if (js) return 'hls.js';
  return '';
}

// Whether the viewer wants to play. The video element alone does not tell: it
// also pauses when a live stream looks ended because its edge is gone.
let wanted = true;
video.addEventListener('play', () => { wanted = true; });
video.addEventListener('pause', () => { if (!video.ended && !video.error && video.readyState > 2) wanted = false; });
function play() { // autoplay may be refused: the controls are there
  video.play().catch((e) => { if (e.name === 'NotAllowedError') wanted = false; });
}

function load() {
  const url = session.edges[at] + session.path;
  state.edge = session.edges[at];
  showEdges();
  if (state.engine === 'native') {
    edge.end = -1; edge.date = NaN; lastTime = -1; // its clock begins anew
    video.src = url;
    play();
    return;
  }
  if (hls) hls.destroy();
  hls = new Hls({ enableWorker: true });
  window.weir.hls = hls;
  hls.on(Hls.Events.MANIFEST_PARSED, play);
  hls.on(Hls.Events.LEVEL_SWITCHED, (_, d) => { const l = hls.levels[d.level]; state.rendition = l && l.height ? l.height + 'p' : ''; });
  hls.on(Hls.Events.ERROR, (_, d) => {
    state.errors.push(`${Math.round(performance.now() - started)} ${d.type} ${d.details}${d.fatal ? ' fatal' : ''}`);
    if (!d.fatal) return;
    if (d.type === Hls.ErrorTypes.MEDIA_ERROR) { state.recoveries++; hls.recoverMediaError(); }
    else move(d.details);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
}

let moving = 0;
let recovered = -Infinity;
function move(why) {
  if (moving) return;
  session.failed.add(at);
  at = (at + 1) % session.edges.length;
  state.moves++;
  say(`${state.edge} failed (${why}): going on from ${session.edges[at]}`, true);
  moving = setTimeout(() => { moving = 0; load(); }, state.moves % session.edges.length === 0 ? 1000 : 50);
}

// A native player does not say whose fault it was. Once the same edge is asked
// again, as hls.js recovers from a media error; if that fails too it is the edge.
function distrust(why) {
  if (moving) return;
  if (performance.now() - recovered < 10000) { move(why); return; }
  recovered = performance.now();
  state.recoveries++;
  load();
}

video.addEventListener('error', () => {
  const e = video.error;
  state.errors.push(`${Math.round(performance.now() - started)} media error ${e && e.code} ${e && e.message}`);
  if (state.engine !== 'native') return;
  distrust('media error ' + (e && e.code));
});
video.addEventListener('waiting', () => { if (everPlayed && !moving && !video.seeking) { state.stalls++; $('stalls').textContent = state.stalls; } });
video.addEventListener('playing', () => { everPlayed = true; session.failed.delete(at); showEdges(); say(`playing from ${state.edge}`); });
if (video.requestVideoFrameCallback) {
  video.requestVideoFrameCallback(() => {
    state.firstFrame = (performance.now() - state.loadAt) / 1000;
    $('first').textContent = state.firstFrame.toFixed(2) + ' s';
  });
}

// A native player says nothing while an edge is gone. The signs are its clock
// standing still for four seconds though the viewer wants to play, and, as
// Chromium's does, playing from the start again all that it has kept.
let lastTime = -1, lastMoved = performance.now();
video.addEventListener('ended', () => { if (state.engine === 'native') distrust('a live stream does not end'); });
function watchdog() {
  if (state.engine === 'native' && !moving && video.currentTime < 2 && lastTime > 5) {
    distrust('it repeats itself');
    return;
  }
  if (video.currentTime !== lastTime) { lastTime = video.currentTime; lastMoved = performance.now(); return; }
  if (state.engine === 'native' && wanted && !moving && performance.now() - lastMoved > 4000) {
    lastMoved = performance.now();
    distrust('no progress for 4 s');
  }
}

const lines = async (url) => (await (await fetch(url, { cache: 'no-store' })).text()).split('\n');
async function media() { // the first rendition's playlist
  const base = session.edges[at] + session.path;
  const variant = (await lines(base)).find((l) => l && l[0] !== '#');
  return lines(new URL(variant, base));
}

// Chromium's own player takes a live playlist of less than three segments for a
// broken one (RFC 8216 6.3.3 has players begin three target durations before the
// end). Whoever opens the page right after the start waits for the third.
async function begun() {
  for (let tries = 0; tries < 30; tries++) {
    try {
      if ((await media()).filter((l) => l.startsWith('#EXTINF:')).length > 2) return;
    } catch (e) { return; /* the player will tell */ }
    say('the channel has just begun: waiting for its third segment');
    await new Promise((done) => setTimeout(done, 500));
  }
}

// Natively a page is told neither the live edge nor the date of what it shows.
// What it has loaded last is what was listed last, though: the end of the buffer
// gets its date from the end of the playlist.
const edge = { end: -1, date: NaN, asking: false };
async function dateBuffer(end) {
  if (edge.asking || end <= edge.end + 0.5) return;
  edge.asking = true;
  try {
    let date = NaN;
    for (const l of await media()) {
      if (l.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) date = Date.parse(l.slice(25));
      else if (l.startsWith('#EXTINF:')) date += 1000 * parseFloat(l.slice(8));
    }
    edge.end = end; edge.date = date;
  } catch (e) { /* the edge may be gone just now; the player will tell */ }
  edge.asking = false;
}

const trace = [];
function measure() {
  watchdog();
  const t = video.currentTime;
  let ahead = null;
  for (let i = 0; i < video.buffered.length; i++) if (video.buffered.start(i) <= t + 0.1 && video.buffered.end(i) >= t) ahead = video.buffered.end(i) - t;
  // hls.js and Safari know the wall clock of what is on screen
  // (EXT-X-PROGRAM-DATE-TIME); elsewhere it is inferred, to about a segment.
  let latency = null;
  if (hls && hls.playingDate) latency = (Date.now() - hls.playingDate.getTime()) / 1000;
  else if (video.getStartDate && !isNaN(video.getStartDate())) latency = (Date.now() - video.getStartDate().getTime()) / 1000 - t;
  else if (state.engine === 'native' && everPlayed && ahead !== null) {
    dateBuffer(t + ahead);
    if (edge.date) latency = (Date.now() - edge.date) / 1000 + edge.end - t;
  }
  if (latency !== null && !(latency > -1 && latency < 3600)) latency = null;
  state.latency = latency; state.buffer = ahead;
  $('latency').textContent = latency === null ? '–' : (state.engine === 'native' && !video.getStartDate ? '≈ ' + latency.toFixed(0) : latency.toFixed(2)) + ' s';
  $('buffer').textContent = ahead === null ? '–' : ahead.toFixed(1) + ' s';
  const size = video.videoHeight ? video.videoHeight + 'p' : '–';
  if (video.videoHeight) state.rendition = size;
  $('rendition').textContent = size;
  trace.push([latency, ahead]);
  if (trace.length > 240) trace.shift();
  const top = Math.max(10, ...trace.flat().filter((v) => v !== null));
  $('scale').textContent = Math.ceil(top) + ' s';
  ['latency', 'buffer'].forEach((name, k) => {
    $('line-' + name).setAttribute('points', trace.map((h, i) => h[k] === null ? '' : `${i},${(78 - 76 * h[k] / top).toFixed(1)}`).join(' '));
  });
}

(async () => {
  state.engine = pickEngine();
  $('engine').textContent = state.engine || 'none';
  if (!state.engine) {
    say(window.Hls ? 'this browser plays HLS neither natively nor by Media Source Extensions'
      : 'this browser does not play HLS natively, and this weir was built without hls.js: build it again where npm is, or take another browser', true);
    return;
  }
  // The demo stands in for the provider's back end here: it hands out a token.
  const answer = await fetch('/player/session.json', { cache: 'no-store' });
  if (!answer.ok) throw new Error('session: ' + answer.status);
  session = await answer.json();
  session.failed = new Set();
  at = Math.max(0, session.edges.indexOf(location.origin));
  if (state.engine === 'native') await begun();
  state.loadAt = performance.now();
  load();
  setInterval(measure, 500);
})().catch((e) => { state.errors.push(String(e)); say('cannot start: ' + e.message, true); });
