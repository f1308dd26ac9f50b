package config

// Shares are parts of young in per cent.
type Shares struct {
	Live     int `yaml:"live" min:"0" max:"100"`
	Recorded int `yaml:"recorded" min:"0" max:"100"`
	Other    int `yaml:"other" min:"0" max:"100"`
}

// Disk is the tier below memory; off without Dir.
type Disk struct {
	Dir      string `yaml:"dir" kind:"dir"`
	Max      Size   `yaml:"max" min:"256MiB" max:"16TiB"`
	KeepFree Size   `yaml:"keep_free" min:"0B" max:"16TiB"`
}

// DefaultMemory is what media may take where nobody says.
const DefaultMemory = 1 * GiB

// checkTiers tells of parts of the cache that cannot be.
func (c *Edge) checkTiers(s *source) {
	if sh := c.Cache.Shares; sh.Live+sh.Recorded+sh.Other > 100 || sh == (Shares{}) {
		s.badf("cache.shares", "live %d, recorded %d and other %d are per cent of one whole: allowed are 1 to 100 together", sh.Live, sh.Recorded, sh.Other)
	}
	d, usual := &c.Cache.Disk, DefaultEdge().Cache.Disk
	if d.Dir == "" {
		for key, own := range map[string]bool{"max": d.Max != usual.Max, "keep_free": d.KeepFree != usual.KeepFree} {
			if own && s.given("cache.disk."+key) {
				s.warnf("cache.disk."+key, "does nothing: there is no disk tier while cache.disk.dir (--cache-dir DIR) is not given")
			}
		}
	}
}
