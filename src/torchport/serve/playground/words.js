"use strict";
// What the page says, in English and in Chinese.
const WORDS = {
  en: {
    model: "Model", docs: "API", metrics: "Metrics", input: "Input", record: "Record", stop: "Stop", go: "Predict",
    output: "Answer", nothing: "No answer yet.", document: "JSON", signature: "Signature", client: "Client",
    copy: "Copy", copied: "Copied", text: "Text", other: "中文",
    drop_picture: "Drop a picture here, or choose one", drop_sound: "Drop a recording here, or choose one",
    drop_video: "Drop a video here, or choose one", drop_tensor: "Drop a .npy, .safetensors or .json file here",
    send: "network", queue: "queue", prepare: "prepare", model_time: "model", name: "name", kind: "datatype",
    shape: "shape", input_row: "input", output_row: "output", missing: "Choose an input first.",
    no_microphone: "The browser gives no microphone here.", ready: "ready", not_ready: "not ready",
  },
  zh: {
    model: "模型", docs: "接口文档", metrics: "监控指标", input: "输入", record: "录音", stop: "停止", go: "推理",
    output: "结果", nothing: "还没有结果。", document: "JSON", signature: "模型签名", client: "客户端代码",
    copy: "复制", copied: "已复制", text: "文本", other: "English",
    drop_picture: "把图片拖到这里，或点击选择", drop_sound: "把录音拖到这里，或点击选择",
    drop_video: "把视频拖到这里，或点击选择", drop_tensor: "把 .npy、.safetensors 或 .json 文件拖到这里",
    send: "网络", queue: "排队", prepare: "预处理", model_time: "模型", name: "名称", kind: "数据类型",
    shape: "形状", input_row: "输入", output_row: "输出", missing: "请先选择输入。",
    no_microphone: "浏览器无法使用麦克风。", ready: "就绪", not_ready: "未就绪",
  },
};
let language = (localStorage.getItem("language") || navigator.language).startsWith("zh") ? "zh" : "en";

function say(key) {
  return WORDS[language][key];
}

function translate() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const one of document.querySelectorAll("[data-say]")) one.textContent = say(one.dataset.say);
  document.getElementById("text").setAttribute("aria-label", say("text"));
  document.getElementById("language").textContent = say("other");
}
