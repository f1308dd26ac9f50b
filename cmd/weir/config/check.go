package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check says what is wrong with a config made in code: keys that contradict
// each other. Load has done it already.
func (c *Origin) Check() error {
	s := newSource("")
	c.check(s)
	return s.err()
}

// Check says what is wrong with a config made in code: keys that contradict
// each other. Load has done it already.
func (c *Edge) Check() error {
	s := newSource("")
	c.check(s)
	return s.err()
}

func (c *Origin) check(s *source) {
	a := &c.Access
	switch {
	case a.Mode == AccessPullKey && a.KeysFile == "" && len(a.Keys) == 0:
		s.badf("access.mode", "pull-key needs access.keys_file (--pull-key FILE), whose lines are NAME SECRET")
	case a.Mode == AccessCIDR && len(a.CIDRs) == 0:
		s.badf("access.mode", "cidr needs access.cidrs, as in [10.0.0.0/8]")
	case a.Mode == AccessMTLS && (!c.TLS.On() || c.TLS.ClientCAFile == ""):
		s.badf("access.mode", "mtls needs tls.listen and tls.client_ca_file: the authority that signs the certificates of edges")
	case a.Mode != AccessPullKey && s.given("access.keys_file"):
		s.badf("access.keys_file", "contradicts access.mode %s: set access.mode to pull-key, or delete this key", a.Mode)
	case a.Mode != AccessCIDR && s.given("access.cidrs"):
		s.badf("access.cidrs", "contradicts access.mode %s: set access.mode to cidr, or delete this key", a.Mode)
	}
	c.TLS.check(s)
	s.checkListen(c.Listen, &c.TLS)
	if !c.Ingest.Keyed() && !Loopback(c.Ingest.Address()) {
		s.badf("ingest.listen", "%s can be reached from other machines, and without publisher keys everybody there could push: name a file of them in ingest.keys_file (--publish-key FILE), or listen on 127.0.0.1", c.Ingest.Listen)
	}
	if c.Ingest.MaxUpload > c.Store.Memory {
		if s.given("ingest.max_upload") {
			s.badf("ingest.max_upload", "%s contradicts store.memory %s, which has to hold it: allowed is up to that", c.Ingest.MaxUpload, c.Store.Memory)
		}
		c.Ingest.MaxUpload = c.Store.Memory // a default that yields to what was said
	}
	if m := c.Store.Max; m > 0 && m < 64*MiB {
		s.badf("store.max", "%s: allowed are 0B (all that the disk has) and 64MiB and more", m)
	}
	if c.Store.Max > 0 && c.Store.Dir == "" {
		s.badf("store.max", "%s needs a disk: name a directory in store.dir (--data DIR), or delete this key", c.Store.Max)
	}
	s.channel("channels.defaults", c.Store.Dir, c.Channels.Defaults)
	s.budget("channels.defaults", c.Channels.Defaults, c.Store.Memory)
	for _, name := range slices.Sorted(maps.Keys(c.Channels.Named)) {
		if !channelName.MatchString(name) {
			s.badf("channels", "%q is no channel name", name)
		}
		s.channel("channels."+name, c.Store.Dir, c.Channels.Named[name])
		s.budget("channels."+name, c.Channels.Named[name], c.Store.Memory)
	}
	if !c.Ingest.Create && len(c.Channels.Named) == 0 {
		s.badf("ingest.create", "false contradicts channels, where no channel is named: nobody could push anything")
	}
	if s.given("ingest.watch.poll") && c.Ingest.Watch.Dir == "" {
		s.warnf("ingest.watch.poll", "does nothing: no directory is watched while ingest.watch.dir is not given")
	}
	s.limits(c.Ingest.Publishers, c.Ingest.MaxUpload)
	c.Admin.check(s)
	s.apart(listener{"listen", c.Listen}, listener{"tls.listen", c.TLS.Listen}, listener{"ingest.listen", c.Ingest.Address()}, listener{"admin.listen", c.Admin.Listen})
}

func (s *source) channel(key, dir string, ch Channel) {
	// A channel is told of what it says itself, not of what it inherited.
	own := func(names ...string) bool {
		return s.file == "" || key == "channels.defaults" ||
			slices.ContainsFunc(names, func(name string) bool { return s.given(join(key, name)) })
	}
	if t := ch.TargetDuration; (t != 0 && t < time.Second || t%time.Second != 0) && own("target_duration") {
		s.badf(key+".target_duration", "%s: allowed are 0s (learn it from the encoder) and whole seconds from 1s to 60s", short(t))
	}
	// "The server MUST NOT remove a Media Segment … if the Playlist would be
	// shorter than three Target Durations" (RFC 8216 section 6.2.2).
	if ch.Window < 3*ch.TargetDuration && own("target_duration", "window") {
		s.badf(key+".window", "%s is less than three times target_duration %s: allowed is %s and more", short(ch.Window), short(ch.TargetDuration), short(3*ch.TargetDuration))
	}
	if ch.DVR > 0 && dir == "" && own("dvr") {
		s.badf(key+".dvr", "%s needs a disk: name a directory in store.dir (--data DIR), or set 0s", short(ch.DVR))
	}
	if ch.DVRMax > 0 && dir == "" && own("dvr_max") {
		s.badf(key+".dvr_max", "%s needs a disk: name a directory in store.dir (--data DIR), or delete this key", ch.DVRMax)
	}
	if ch.DVRMax > 0 && ch.DVRMax < 16*MiB && own("dvr_max") {
		s.badf(key+".dvr_max", "%s: allowed are 0B (no bound of its own) and 16MiB and more", ch.DVRMax)
	}
	if ch.DVR > 0 && ch.DVR < ch.Window && own("dvr", "window") {
		s.badf(key+".dvr", "%s contradicts window %s, which is listed anyway: allowed are 0s and that and more", short(ch.DVR), short(ch.Window))
	}
	if ch.Retention < ch.Window && own("retention", "window") {
		s.badf(key+".retention", "%s contradicts window %s: what is listed must be kept, so allowed is that and more", short(ch.Retention), short(ch.Window))
	}
	if own("renditions") {
		s.renditions(key+".renditions", ch.Renditions)
	}
}

func (s *source) renditions(key string, names []string) {
	for i, name := range names {
		if j := slices.Index(names, name); j < i {
			s.badf(item(key, i), "%s is given twice, first as %s", name, item(key, j))
		}
	}
}

// budget tells of a channel's share of memory that cannot be one.
func (s *source) budget(key string, ch Channel, all Size) {
	if m := ch.Memory; m > all && (s.file == "" || key == "channels.defaults" || s.given(join(key, "memory"))) {
		s.badf(key+".memory", "%s contradicts store.memory %s, of which it is a part: allowed is up to that, and 0B for no bound of its own", m, all)
	} else if m != 0 && m < MiB {
		s.badf(key+".memory", "%s is less than a segment: allowed are 1MiB and more, and 0B for no bound of its own", m)
	}
}

// limits tells of limits in the keys file that contradict the config.
func (s *source) limits(all []Publisher, most Size) {
	for _, p := range all {
		if p.MaxUpload > most {
			s.badf("ingest.keys_file", "publisher %s: max_upload=%s contradicts ingest.max_upload %s: allowed is up to that", p.Name, p.MaxUpload, most)
		}
	}
}

// Keyed reports whether publishers must show a key.
func (i *Ingest) Keyed() bool { return i.KeysFile != "" || len(i.Publishers) > 0 }

// Address is where ingest really listens: Listen, but without publisher keys
// and without a named address only this machine may push.
func (i *Ingest) Address() string {
	if host, port, err := net.SplitHostPort(i.Listen); err == nil && host == "" && !i.Keyed() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return i.Listen
}

func (c *Edge) check(s *source) {
	if len(c.Origins) == 0 && c.source != nil {
		s.badf("origins", "no origin to ask: name at least one, as in [http://origin1:8080] (--origin URL)")
	}
	for i, u := range c.Origins {
		if j := slices.Index(c.Origins, u); j < i && u != "" {
			s.badf(item("origins", i), "%s is given twice, first as origins[%d]", u, j)
		}
	}
	if c.Cache.Young > c.Cache.Memory {
		s.badf("cache.young", "%s contradicts cache.memory %s, of which it is a part: allowed is up to that", c.Cache.Young, c.Cache.Memory)
	}
	if fits := c.Cache.Memory / 4; c.Cache.MaxObject > fits {
		if s.given("cache.max_object") {
			s.badf("cache.max_object", "%s contradicts cache.memory %s: allowed is up to a quarter of that, %s", c.Cache.MaxObject, c.Cache.Memory, fits)
		}
		c.Cache.MaxObject = fits // a default that yields to what was said
	}
	if fits := c.Cache.MaxObject; c.Cache.Slice > fits {
		if s.given("cache.slice") {
			s.badf("cache.slice", "%s contradicts cache.max_object %s: allowed is up to that", c.Cache.Slice, fits)
		}
		c.Cache.Slice = fits
	}
	c.checkProxy(s)
	if w := &c.Cache.Waiting; w.PerObject > w.All {
		if s.given("cache.waiting.per_object") {
			s.badf("cache.waiting.per_object", "%d contradicts cache.waiting.all %d, of which it is a part: allowed is up to that", w.PerObject, w.All)
		}
		w.PerObject = w.All
	}
	c.checkOrigins(s)
	c.checkPlaylists(s)
	c.TLS.check(s)
	s.checkListen(c.Listen, &c.TLS)
	c.checkCluster(s)
	c.checkTokens(s)
	c.checkClients(s)
	c.Admin.check(s)
	all := []listener{{"listen", c.Listen}, {"tls.listen", c.TLS.Listen}, {"admin.listen", c.Admin.Listen}}
	if c.Cluster.On() {
		all = append(all, listener{"cluster.peers", c.Cluster.Peers}, listener{"cluster.bind", c.Cluster.Bind})
	}
	s.apart(all...)
	c.checkTiers(s)
}

func (c *Edge) checkProxy(s *source) {
	if c.Query == QueryAll {
		return
	}
	usual := DefaultEdge().Proxy
	for _, k := range []struct {
		name  string
		usual bool // as in the manual, where it says nothing
	}{{"max_body", c.Proxy.MaxBody == usual.MaxBody}, {"cookies", c.Proxy.Cookies == usual.Cookies}} {
		if key := "proxy." + k.name; !k.usual && s.given(key) {
			s.warnf(key, "does nothing: only query all passes on what is not read from the cache")
		}
	}
}

func (c *Edge) checkPlaylists(s *source) {
	p := &c.Playlists
	if p.Hold > c.Fetch.HeadTimeout/2 {
		if s.given("playlists.hold") {
			s.badf("playlists.hold", "%s contradicts fetch.head_timeout %s: who waits for this edge would give up; allowed is up to half of that, %s",
				short(p.Hold), short(c.Fetch.HeadTimeout), short(c.Fetch.HeadTimeout/2))
		}
		p.Hold = c.Fetch.HeadTimeout / 2 // a default that yields to what was said
	}
	for _, name := range []string{"prefetch", "hold", "max_holds", "memory"} {
		if !p.Read && s.given("playlists."+name) {
			s.warnf("playlists."+name, "does nothing while playlists.read is false")
		}
	}
}

func (c *Edge) checkCluster(s *source) {
	cl := &c.Cluster
	if cl.On() && cl.SecretFile == "" && cl.Secret == "" && !(Loopback(cl.Bind) && Loopback(cl.Peers)) {
		s.badf("cluster.join", "a cluster that other machines can reach needs a secret all its edges share: name its file in cluster.secret_file (--cluster-key FILE)")
	}
	if cl.On() {
		return
	}
	usual := DefaultEdge().Cluster
	for _, k := range []struct {
		name  string
		usual bool // as in the manual, where it says nothing
	}{
		{"bind", cl.Bind == usual.Bind}, {"advertise", false}, {"peers", cl.Peers == usual.Peers},
		{"advertise_peers", false}, {"zone", false}, {"weight", cl.Weight == usual.Weight},
	} {
		if key := k.name; !k.usual && s.given("cluster."+key) {
			s.warnf("cluster."+key, "does nothing: the cluster is off while neither cluster.secret_file nor cluster.join is given")
		}
	}
}

func (c *Edge) checkTokens(s *source) {
	t := &c.Tokens
	ids := map[string]int{}
	for i, k := range t.Keys {
		if j, twice := ids[k.ID]; twice && k.ID != "" {
			s.badf(item("tokens.keys", i), "id %s is given twice, first as tokens.keys[%d]", k.ID, j)
		}
		ids[k.ID] = i
	}
	for key, given := range map[string]bool{"tokens.issuers": len(t.Issuers) > 0, "tokens.audience": t.Audience != ""} {
		if given && len(t.Keys) == 0 {
			s.badf(key, "does nothing without tokens.keys, and everybody would be served: add a key, or delete this one")
		}
	}
}

func (c *Edge) checkClients(s *source) {
	l := &c.Clients
	if l.TokenRate > 0 && len(c.Tokens.Keys) == 0 {
		s.badf("clients.token_rate", "does nothing without tokens.keys: nobody shows a token that counts")
	}
	for i, p := range l.TrustedProxies {
		// Whoever is believed by everybody's word is whoever he likes to be.
		if p.Bits() == 0 {
			s.badf(item("clients.trusted_proxies", i), "%s is everybody, and everybody could name any address as his own: list the balancers", p)
		}
	}
	if len(l.Exempt) > 0 && l.Connections == 0 && l.Rate == 0 && l.TokenRate == 0 {
		s.warnf("clients.exempt", "does nothing: neither clients.connections nor clients.rate nor clients.token_rate bounds anybody")
	}
	usual := DefaultEdge().Clients
	for _, k := range []struct {
		idle      bool // it does nothing, and says something else than the manual
		name, why string
	}{
		{l.Rate == 0 && l.Burst != usual.Burst, "burst", "clients.rate is 0, which is no bound"},
		{l.TokenRate == 0 && l.TokenBurst != usual.TokenBurst, "token_burst", "clients.token_rate is 0, which is no bound"},
		{len(l.TrustedProxies) == 0 && l.Forwarded != usual.Forwarded, "forwarded", "nobody is believed while clients.trusted_proxies is not given"},
	} {
		if key := "clients." + k.name; k.idle && s.given(key) {
			s.warnf(key, "does nothing: %s", k.why)
		}
	}
}

func (a *Admin) check(s *source) {
	if !Loopback(a.Listen) && a.TokenFile == "" && a.Token == "" {
		s.badf("admin.listen", "%s can be reached from other machines: name a file with a token in admin.token_file (--admin-token FILE), or listen on 127.0.0.1", a.Listen)
	}
}

// Loopback reports whether only this machine can reach an address to listen on.
func Loopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

type listener struct{ key, address string }

// apart tells of two listeners that cannot both have their port.
func (s *source) apart(all ...listener) {
	for i, a := range all {
		for _, b := range all[:i] {
			ha, pa, errA := net.SplitHostPort(a.address)
			hb, pb, errB := net.SplitHostPort(b.address)
			if errors.Join(errA, errB) != nil || pa != pb || pa == "0" {
				continue
			}
			if ha == hb || wildcard(ha) || wildcard(hb) {
				s.badf(a.key, "%s takes the port of %s (%s): give it another", a.address, b.key, b.address)
			}
		}
	}
}

func wildcard(host string) bool {
	return strings.Trim(host, "0.:[]") == ""
}

func item(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// Warnings are what an operator should know of a config that is right.
func (c *Origin) Warnings() []string {
	var w []string
	if !c.Ingest.Keyed() {
		w = append(w, fmt.Sprintf("no publisher key (ingest.keys_file, --publish-key): ingest listens on %s only, and whoever is on this machine may push", c.Ingest.Address()))
	}
	for _, listen := range []string{c.Listen, c.TLS.Listen} {
		if c.Access.Mode == AccessOpen && listen != "" && listen != NoListener && !Loopback(listen) {
			w = append(w, "access.mode is open: whoever reaches "+listen+" plays without a token; use pull-key, cidr or mtls where edges check tokens")
			break
		}
	}
	if c.Access.Mode == AccessMTLS && c.Listen != NoListener {
		w = append(w, "access.mode is mtls: whoever asks at "+c.Listen+" (listen) shows no certificate and is refused; set listen: none to close it")
	}
	return w
}

// Warnings are what an operator should know of a config that is right.
func (c *Edge) Warnings() []string {
	var w []string
	if len(c.Tokens.Keys) == 0 {
		w = append(w, "no token key (tokens.keys, --token-key): everybody is served")
	}
	if c.OriginTLS.Insecure {
		w = append(w, "origin_tls.insecure: no origin's certificate is checked, so that whoever is on the way can be the origin; name its CA in origin_tls.ca_file instead")
	}
	return w
}

// LogConfig returns what is logged, and how.
func (c *Origin) LogConfig() Log { return c.Log }

// LogConfig returns what is logged, and how.
func (c *Edge) LogConfig() Log { return c.Log }

// MemoryConfig returns the key that media take their memory by, and its value.
func (c *Origin) MemoryConfig() (key string, size Size) { return "store.memory", c.Store.Memory }

// MemoryConfig returns the key that media take their memory by, and its value.
func (c *Edge) MemoryConfig() (key string, size Size) { return "cache.memory", c.Cache.Memory }
