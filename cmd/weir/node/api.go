package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"weir/cmd/weir/api"
	"weir/internal/web"
)

// An apiCall does what a request asks for, and returns the status and what is answered as
// JSON. A [web.Error] knows its status and reason.
type apiCall func(r *http.Request) (status int, answer any, err error)

// An apiRoute is a path, as http.ServeMux spells it, and what its methods do.
type apiRoute struct {
	path  string
	calls map[string]apiCall
}

// apiHandler serves an API behind the guard: what changes something needs the token, also
// from this machine; to read needs it from others. Every answer is JSON.
func apiHandler(routes []apiRoute, g *adminGuard, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	for _, route := range routes {
		var allowed []string
		for method := range route.calls {
			allowed = append(allowed, method)
		}
		slices.Sort(allowed)
		mux.HandleFunc(route.path, func(w http.ResponseWriter, r *http.Request) {
			call := route.calls[r.Method]
			if r.Method == http.MethodHead {
				call = route.calls[http.MethodGet]
			}
			if call == nil {
				w.Header().Set("Allow", strings.Join(allowed, ", "))
				writeAPIError(w, web.Errorf(http.StatusMethodNotAllowed, "%s: %.20q is none of %s", r.URL.Path, r.Method, strings.Join(allowed, ", ")), "method")
				return
			}
			serveAPI(w, r, call, g, log)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeAPIError(w, web.Errorf(http.StatusNotFound, "%.200q is no path of the API: channels are at %s, assets at %s", r.URL.Path, api.ChannelsPath, api.AssetsPath), "no_such_path")
	})
	return mux
}

func serveAPI(w http.ResponseWriter, r *http.Request, call apiCall, g *adminGuard, log *slog.Logger) {
	changes := r.Method != http.MethodGet && r.Method != http.MethodHead
	deny := g.mayLook(r)
	if changes {
		deny = g.mayChange(r)
	}
	if deny != nil {
		if deny.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		writeAPIError(w, web.Errorf(deny.status, "%s", deny.why), "admin_token")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, api.MaxBody)
	status, answer, err := call(r)
	if err != nil {
		status = web.StatusOf(err)
	}
	if changes {
		fields := []any{"method", r.Method, "path", r.URL.Path, "remote", r.RemoteAddr, "status", status}
		if err != nil {
			fields = append(fields, "err", err)
		}
		log.Info("operator", fields...)
	}
	if err != nil {
		writeAPIError(w, err, "internal")
		return
	}
	writeJSON(w, status, answer)
}

// writeAPIError answers with an error; reason is for one that has none of its own.
func writeAPIError(w http.ResponseWriter, err error, reason string) {
	if own := web.ReasonOf(err); own != "" {
		reason = own
	}
	writeJSON(w, web.StatusOf(err), api.Error{Text: err.Error(), Reason: reason})
}

func badBody(format string, args ...any) error {
	e := web.Errorf(http.StatusBadRequest, format, args...)
	e.Reason = "bad_request"
	return e
}

// readBody reads a request's body, one JSON object, into what v points to, a struct. Each
// name must be one of the struct's, spelt as there, and stand once: what an operator
// misspells is told, and not left out.
func readBody(r *http.Request, v any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			e := web.Errorf(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", api.MaxBody)
			e.Reason = "too_large"
			return e
		}
		return badBody("the body ended before its end: %w", err)
	}
	if err := checkNames(text, namesOf(v)); err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		if te, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && te.Field != "" {
			return badBody("%s: a JSON %s does not belong here", te.Field, te.Value)
		}
		return badBody("body: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// checkNames looks at the names of the one object that text is.
func checkNames(text []byte, known []string) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return badBody("the body is no JSON object; its names are %s", strings.Join(known, ", "))
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return badBody("body: %w", err)
		}
		name := fmt.Sprint(t)
		switch {
		case !slices.Contains(known, name):
			return badBody("%.40q: unknown field; there are %s", name, strings.Join(known, ", "))
		case seen[name]:
			return badBody("%s: given twice", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return badBody("%s: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return badBody("the body ends within its object: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return badBody("the body goes on behind its object")
	}
	return nil
}

// namesOf returns the names that JSON has for the fields of the struct v points to.
func namesOf(v any) (names []string) {
	t := reflect.TypeOf(v).Elem()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}
