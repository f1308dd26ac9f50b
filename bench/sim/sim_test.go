package sim

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata")

// TestScenarios plays every scenario of testdata and compares its transcript,
// to the letter, with what the file says.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				got, err := Play(t.Context(), string(want), synctest.Wait)
				switch {
				case err != nil:
					t.Fatal(err)
				case got == string(want):
				case *update:
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				default:
					t.Errorf("the transcript differs; got:\n%s", got)
				}
			})
		})
	}
}
