// Package spool holds bytes that are written once and read by many, also while
// they are being written.
//
// A [Buffer] grows at its end only, is readable as far as it has been released,
// and ends in one of two ways: complete or aborted. The second is never
// mistaken for the first. Its memory belongs to a [Slab], is counted there
// from the first byte, and goes back to it with the last reference.
package spool
