package origin

import "weir/internal/web"

// publishingField names, in answers that are media playlists, the publishing that their
// numbers belong to: by it an edge tells a new beginning from an origin that lags. It says
// no more than the names of the segments do.
const publishingField = "Weir-Publishing"

// named adds the publishing to the answer with a playlist of the rendition.
func (r *rendition) named(resp *web.Response) *web.Response {
	resp.Header.Set(publishingField, r.rule.epoch)
	return resp
}
