// Reads playlists from files, one a file, and says which of them hls-parser
// refuses in strict mode. Exit code 1 if there is any.
//   node judge.mjs DIR
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as HLS from 'hls-parser';

HLS.setOptions({ strictMode: true });
const dir = process.argv[2];
let bad = 0, seen = 0;
for (const name of readdirSync(dir).sort()) {
  if (!name.endsWith('.m3u8')) continue;
  seen++;
  let text = readFileSync(join(dir, name), 'utf8');
  // It wants version 8 for EXT-X-GAP. HLSbis section 8 does not, and older
  // clients, who are to ignore the tag, may not play what says 8.
  if (/^#EXT-X-GAP/m.test(text)) text = text.replace(/^(#EXT-X-VERSION:)[1-7]$/m, (_, tag) => tag + 8);
  try {
    const p = HLS.parse(text);
    if (p.isMasterPlaylist !== /#EXT-X-STREAM-INF/.test(text)) throw new Error('kind misread');
  } catch (e) {
    bad++;
    if (bad <= 5) console.error(`${name}: ${e.message}\n${text}`);
  }
}
console.log(`${seen} playlists, ${bad} refused`);
process.exit(bad || !seen ? 1 : 0);
