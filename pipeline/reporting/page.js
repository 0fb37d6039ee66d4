// One player at a time; switching players goes on from the same moment, to compare by ear.
document.querySelectorAll(".clip").forEach((clip) => {
  const players = [...clip.querySelectorAll("audio")];
  let moment = 0;
  players.forEach((player) => {
    const head = player.closest("figure").querySelector(".playhead");
    player.addEventListener("play", () => {
      document.querySelectorAll("audio").forEach((other) => other !== player && other.pause());
      if (moment < player.duration - 0.1) player.currentTime = moment;
    });
    player.addEventListener("timeupdate", () => {
      if (!player.paused) moment = player.currentTime;
      head.style.left = `${(100 * player.currentTime) / player.duration}%`;
    });
    player.addEventListener("seeked", () => { moment = player.currentTime; });
    player.addEventListener("ended", () => { moment = 0; });
  });
});
