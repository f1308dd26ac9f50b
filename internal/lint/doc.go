// Package lint holds the house rules of this repository as tests that read the tree.
package lint
