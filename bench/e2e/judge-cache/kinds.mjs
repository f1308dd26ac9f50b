// Prints each cache test's kind (required, optimal, check) and what it says, by id.
import tests from './node_modules/http-cache-tests/tests/index.mjs'

const kinds = {}
for (const suite of tests) {
  for (const t of suite.tests) {
    if (!t.browser_only) kinds[t.id] = { kind: t.kind || 'required', name: t.name }
  }
}
console.log(JSON.stringify(kinds))
