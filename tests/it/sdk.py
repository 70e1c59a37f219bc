"""The vendor's own clients drive the simulated service through every operation it has.

Usage: sdk.py URL APP_URL, with the keys in the environment (see `sdk.rs`); prints one line of JSON a claim:
{"claim": ..., "held": true|false, "saw": ...}. Talks to URL and APP_URL only.
"""

import io
import json
import os
import sys
import tempfile
import warnings
import zipfile

os.environ["HOME"] = tempfile.mkdtemp()  # On import an application id is written under the home folder.
for name in list(os.environ):
    if name.lower().endswith("_proxy"):
        del os.environ[name]
# It says that python-dateutil is not there; dates stay text.
warnings.simplefilter("ignore")

url, app_url = sys.argv[1:3]
os.environ["HUAWEICLOUD_SDK_IAM_ENDPOINT"] = url

import huaweicloudsdkworkspace.v2 as ws  # noqa: E402
import huaweicloudsdkworkspaceapp.v1 as app  # noqa: E402
from huaweicloudsdkcore.auth.credentials import BasicCredentials  # noqa: E402
from huaweicloudsdkcore.auth.internal import MetadataAccessor  # noqa: E402
from huaweicloudsdkcore.exceptions.exceptions import ServiceResponseException  # noqa: E402
from huaweicloudsdkcore.http.http_config import HttpConfig  # noqa: E402
from huaweicloudsdkcore.region.region import Region  # noqa: E402

AK, SK, PROJECT = os.environ["AK"], os.environ["SK"], os.environ["PROJECT"]
TEMPORARY = os.environ["TEMPORARY_AK"], os.environ["TEMPORARY_SK"], os.environ["SECURITY_TOKEN"]
DAY = "2023-06-05T00:00:00Z", "2023-06-06T00:00:00Z"
MINUTES = "2023-06-05T00:00Z", "2023-06-06T00:00Z"


def held(claim, saw, expected):
    print(json.dumps({"claim": claim, "held": saw == expected, "saw": saw, "expected": expected}), flush=True)


def desktops(credentials, endpoint=None):
    builder = ws.WorkspaceClient.new_builder().with_http_config(HttpConfig()).with_credentials(credentials)
    return builder.with_endpoint(endpoint or url).build()


def apps(credentials, endpoint=None):
    builder = app.WorkspaceAppClient.new_builder().with_http_config(HttpConfig()).with_credentials(credentials)
    return builder.with_endpoint(endpoint or app_url).build()


def refused(call):
    """Status, code and text of a refusal."""
    try:
        call()
    except ServiceResponseException as error:
        return [error.status_code, error.error_code, str(error.error_msg)]
    return "let in"


def lists(who, wd, wa):
    got = wd.list_login_records_new(ws.ListLoginRecordsNewRequest(
        start_time=MINUTES[0], end_time=MINUTES[1], user_name="ana@corp.example", limit=100, offset=0))
    held(f"{who}: desktop logins", [got.total_count, [row.transaction_id for row in got.records]], [2, ["d2", "d1"]])
    window = app.ListUserConnectionReq(login_start_time=DAY[0], login_end_time=DAY[1])
    pages = [wa.list_user_connection(app.ListUserConnectionRequest(body=window, limit=2, offset=offset))
             for offset in (0, 2)]
    held(f"{who}: app logins, page by page",
         [(page.count, [row.id for row in page.items]) for page in pages] == [(3, ["3", "2"]), (3, ["1"])], True)
    open_row = pages[0].items[1]
    held(f"{who}: an open row has no end", [open_row.end_time, open_row.user_name], [None, "ana@corp.example"])
    got = wa.list_app_connection(app.ListAppConnectionRequest(body=app.ListAppConnectionReq(
        brokering_start_time=DAY[0], brokering_end_time=DAY[1], app_name="notepad")))
    held(f"{who}: app launches by a part of the name", [got.count, got.items[0].app_name], [1, "Office-Notepad++"])
    got = wa.list_sessions(app.ListSessionsRequest(
        query_begin_time="2023-06-05T00:00:00.000Z", query_end_time="2023-06-06T00:00:00.000Z", is_success="true"))
    held(f"{who}: sessions", [got.count, got.items[0].login_user], [1, "ana@corp.example"])
    got = wa.list_session_by_user_name(app.ListSessionByUserNameRequest(user_name="ana@corp.example"))
    held(f"{who}: sessions of a user", [row.end_time for row in got.session_info_list], [])
    got = wd.list_user_events(ws.ListUserEventsRequest(start_time=DAY[0], end_time=DAY[1], username="ana"))
    held(f"{who}: user events", [got.count, got.items[0].event_type, got.items[0].is_success], [1, "USER_LOGIN", True])


def table(content):
    """The first cells of each line of a workbook."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        sheet = archive.read("xl/worksheets/sheet1.xml").decode()
    rows = sheet.split("<row>")[1:]
    return [row.split('preserve">')[1].split("<")[0] for row in rows]


def follow(who, wd, begun, first_cells):
    states = []
    for _ in range(2):
        got = wd.list_export_tasks(ws.ListExportTasksRequest(
            task_id=begun.task_id, is_download=False, sort_field="create_time", sort_type="DESC", limit=20, offset=0))
        states.append(got.export_tasks[0].status)
    file = wd.download_export_file(ws.DownloadExportFileRequest(task_id=begun.task_id))
    held(f"{who}", [states, table(file.raw_content)], [["CREATING", "SUCCESS"], first_cells])
    return begun.task_id


def exports(who, wd, wa):
    window = app.ListUserConnectionReq(login_start_time=DAY[0], login_end_time=DAY[1], user_name="ana@corp.example")
    tasks = [
        follow(f"{who}: app logins exported", wd,
               wa.export_user_connection(app.ExportUserConnectionRequest(body=window)), ["id", "2", "1"]),
        follow(f"{who}: app launches exported", wd,
               wa.export_app_connection(app.ExportAppConnectionRequest(body=app.ListAppConnectionReq())), ["id", "l1"]),
        follow(f"{who}: sessions exported", wd,
               wa.export_sessions(app.ExportSessionsRequest(body=app.ExportSessionsReq(
                   session_state="SignedOut,Active", is_success="false"))), ["id", "s2"]),
        follow(f"{who}: desktop logins exported", wd,
               wd.export_user_connection_new(ws.ExportUserConnectionNewRequest(
                   start_time=DAY[0], end_time=DAY[1], language="en_US")), ["transaction_id", "d2", "d1"]),
    ]
    at_once = wd.export_user_login_info_new(ws.ExportUserLoginInfoNewRequest(language="en_US"))
    held(f"{who}: desktop logins exported at once", table(at_once.raw_content), ["transaction_id", "d2", "d1"])
    wd.delete_export_tasks(ws.DeleteExportTasksRequest(body=ws.DeleteExportTaskRequestBody(task_ids=tasks)))
    left = wd.list_export_tasks(ws.ListExportTasksRequest(is_download=True))
    held(f"{who}: tasks are deleted", left.count, 0)


def everything(who, credentials):
    wd, wa = desktops(credentials()), apps(credentials())
    lists(who, wd, wa)
    exports(who, wd, wa)


def refusals():
    one = app.ListUserConnectionRequest(body=app.ListUserConnectionReq(), limit=1)
    nobody = refused(lambda: apps(BasicCredentials("NOBODY", SK, PROJECT)).list_user_connection(one))
    held("an unknown key", nobody, [401, "APIGW.0301", "Incorrect IAM authentication information: Get secretKey "
                                    "failed,ak:NOBODY,error:ak not exist"])
    stale = BasicCredentials(TEMPORARY[0], TEMPORARY[1], PROJECT).with_security_token("another")
    told = refused(lambda: apps(stale).list_user_connection(one))
    held("another security token", told, [401, "APIGW.0301", "Incorrect IAM authentication information: decrypt token fail"])
    other = refused(lambda: apps(BasicCredentials(AK, SK, "f" * 32)).list_user_connection(one))
    held("another project", other[:2], [403, "APIGW.0310"])
    elsewhere = refused(lambda: apps(BasicCredentials(AK, SK, PROJECT), url).list_user_connection(one))
    held("the other service's host", elsewhere[:2], [404, "APIGW.0101"])
    half = app.ListUserConnectionRequest(body=app.ListUserConnectionReq(login_start_time=DAY[0]))
    told = refused(lambda: apps(BasicCredentials(AK, SK, PROJECT)).list_user_connection(half))
    held("half a window", told[:2], [400, "WKS.00211102"])
    wrong = apps(BasicCredentials(AK, "wrong", PROJECT))
    told = [refused(lambda: wrong.list_user_connection(one)) for _ in range(7)]
    signed = "Incorrect IAM authentication information: verify aksk signature fail, canonicalRequest:POST|"
    held("a wrong secret, six times", all(one[2].startswith(signed) for one in told[:6]), True)
    locked = [401, "APIGW.0301", "Incorrect IAM authentication information: AK access failed to reach the limit,forbidden"]
    held("the seventh meets a locked key", told[6], locked)
    right = refused(lambda: apps(BasicCredentials(AK, SK, PROJECT)).list_user_connection(one))
    held("and so does the right secret", right, locked)


everything("permanent keys", lambda: BasicCredentials(AK, SK, PROJECT))
everything("temporary keys", lambda: BasicCredentials(*TEMPORARY[:2], PROJECT).with_security_token(TEMPORARY[2]))

looked_up = app.WorkspaceAppClient.new_builder().with_credentials(BasicCredentials(AK, SK)).with_region(
    Region("cn-north-4", app_url)).build()
found = looked_up.list_user_connection(app.ListUserConnectionRequest(body=app.ListUserConnectionReq(), limit=1))
held("a project that is looked up", found.count, 3)

MetadataAccessor._METADATA_ENDPOINT = url
machine = BasicCredentials(project_id=PROJECT)
machine.sts_accessor = MetadataAccessor()
found = apps(machine).list_user_connection(app.ListUserConnectionRequest(body=app.ListUserConnectionReq(), limit=1))
held("the keys of a machine", [found.count, machine.ak], [3, TEMPORARY[0]])

refusals()
