package node

import (
	"context"
	"net/http"

	"weir/cmd/weir/api"
	"weir/origin"
)

// assets is what the API needs of an origin to make and remove finished programmes.
type assets interface {
	MakeAsset(ctx context.Context, r origin.AssetRequest) (origin.AssetInfo, error)
	Assets() []origin.AssetInfo
	RemoveAsset(name string) error
}

// assetAPI is what operators do to assets.
type assetAPI struct{ assets func() assets }

func (a assetAPI) routes() []apiRoute {
	return []apiRoute{
		{api.AssetsPath, map[string]apiCall{http.MethodGet: a.list, http.MethodPost: a.cut}},
		{api.AssetsPath + "/{asset}", map[string]apiCall{http.MethodDelete: a.remove}},
	}
}

func (a assetAPI) list(*http.Request) (int, any, error) {
	out := api.Assets{Assets: []api.Asset{}}
	for _, i := range a.assets().Assets() {
		out.Assets = append(out.Assets, assetOf(i))
	}
	return http.StatusOK, out, nil
}

func (a assetAPI) cut(r *http.Request) (int, any, error) {
	var asked api.AssetRequest
	if err := readBody(r, &asked); err != nil {
		return 0, nil, err
	}
	if !asked.Start.IsZero() && !asked.End.IsZero() && !asked.Start.Before(asked.End) {
		return 0, nil, badBody("end: it is not after start")
	}
	made, err := a.assets().MakeAsset(r.Context(), origin.AssetRequest(asked))
	return http.StatusCreated, assetOf(made), err
}

func (a assetAPI) remove(r *http.Request) (int, any, error) {
	name := r.PathValue("asset")
	return http.StatusOK, map[string]string{"removed": name}, a.assets().RemoveAsset(name)
}

func assetOf(i origin.AssetInfo) api.Asset {
	return api.Asset{
		Name: i.Asset, Path: "/vod/" + i.Asset + "/index.m3u8", Channel: i.Channel, Start: i.Start, End: i.End,
		Duration: api.Seconds(i.Duration), Bytes: i.Bytes, Gaps: i.Gaps, Renditions: append([]string{}, i.Renditions...), Made: i.Made,
	}
}
