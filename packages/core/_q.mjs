import { parseConfig } from "./src/config/load.ts";
import { preparePolicy, decide, eligible } from "./src/policy/decide.ts";
const claims="repository_id ref event_name".split(" ");
const pipelines={github:{claims,ids:["repository_id"],untrustedEvents:{claim:"event_name",values:["pull_request_target","workflow_run"]}}};
const make=(rules,profiles)=>{ let y="version: 1\naudience: https://a.test\nprofiles:\n"; for(let i=0;i<profiles;i++) y+=`  p${i}: {duration: {default: 20m, max: 2h}, targets: {aws: {kind: aws, role: "arn:aws:iam::111122223333:role/stint/x", allow: [{actions: [s3:Get*], resources: ["*"]}]}}}\n`;
 y+="rules:\n"; for(let i=0;i<rules;i++) y+=`  - {id: r${i}, profile: p${i%profiles}, to: {pipeline: github, repository_id: "${i}", ref: refs/heads/main}, duration: 30m}\n`; return y; };
const principal={kind:"job",id:"github:t:1:2:1:3",claims:{repository_id:"0",ref:"refs/heads/main",event_name:"push"},job:{pipeline:"github",issuer:"https://x",run:"1",attempt:"1",job:"1"}};
function time(name,n,f){ f();f(); const ts=[]; for(let i=0;i<n;i++){const a=performance.now(); f(); ts.push(performance.now()-a);} ts.sort((a,b)=>a-b); console.log(name,"median", ts[n>>1].toFixed(4)); return ts[n>>1]; }
const P={};
for (const [r,p] of [[2,1],[200,50],[2000,500],[2000,50]]) { let t=performance.now(); const c=parseConfig(make(r,p),{},pipelines); if(!c.ok) console.log(c.problems); console.log(r,p,"parseConfig",(performance.now()-t).toFixed(1)); t=performance.now(); P[r+"/"+p]=preparePolicy(c.config,pipelines); console.log("prepare",(performance.now()-t).toFixed(1)); t=performance.now(); decide(P[r+"/"+p],{action:"request",principal,profile:"p0",now:0}); console.log("first",(performance.now()-t).toFixed(1));}
for(let k=0;k<3;k++){ const m={}; for(const n in P) m[n]=time(n,2000,()=>decide(P[n],{action:"request",principal,profile:"p0",now:0})); console.log("ratio",(m["200/50"]/m["2/1"]).toFixed(2)); }
time("eligible 2000/500",20,()=>eligible(P["2000/500"],principal,"request",0));
