package main

type tokenCmd struct {
	Keygen keygenCmd `cmd:"" help:"Make a key: the private half signs tokens, edges get the public one."`
	Sign   signCmd   `cmd:"" help:"Make a token."`
	Verify verifyCmd `cmd:"" help:"Say what a token allows, or why an edge refuses it."`
}
