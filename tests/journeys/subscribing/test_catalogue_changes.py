"""A change of the catalogue reaches current subscribers, while processes with the old and the new file run."""

from pathlib import Path

from tests.support.second_process import second_process
from tests.support.shop import CATALOGUE, Shop

APPLIED = "SELECT count(*) > 0 AND bool_and(finished_at IS NOT NULL) FROM derivation_runs WHERE kind = 'catalogue'"


def with_video(folder: Path) -> Path:
    """Write a catalogue whose plan has another feature."""
    text = CATALOGUE.read_text()
    changed = text.replace("[features.archive]", '[features.video]\ntitle = "Video"\n\n[features.archive]', 1)
    changed = changed.replace('"archive",', '"archive", "video",', 1)
    assert changed.count("video") == 2, "the catalogue is written differently"
    path = folder / "with-video.toml"
    path.write_text(changed)
    return path


async def test_a_new_feature_reaches_current_subscribers_at_once(shop: Shop, tmp_path: Path) -> None:
    ada = shop.person("ada")
    await shop.subscribe(ada)

    async with second_process(shop, catalogue=with_video(tmp_path)) as newer:  # the worker still has the old file
        await shop.wait_until(APPLIED)
        asked = {"subscriber": ada.sub, "feature": "video"}
        answer = await newer.post(
            "/v1/entitlements/check", headers={"Authorization": f"Bearer {shop.server_key}"}, json=asked
        )
        assert answer.json()["allowed"], answer.text

        await shop.subscribe(shop.person("bob"))  # applied by the worker with the old file
        answer = await newer.post(
            "/v1/entitlements/check",
            headers={"Authorization": f"Bearer {shop.server_key}"},
            json={**asked, "subscriber": "bob"},
        )
        assert answer.json()["allowed"], answer.text
        assert (await newer.get("/console/", follow_redirects=False)).status_code < 500
    assert await shop.may_read(ada)
